use super::*;

fn verdicts(bytes: &[u8], step: usize) -> Vec<Verdict> {
    let mut framing = Framing::default();
    let mut told = Vec::new();
    for part in bytes.chunks(step) {
        framing.follow(part, |_, what| {
            if let Told::Judged(verdict) = what {
                told.push(verdict);
            }
        });
    }
    told
}

fn check(request: &str, expected: &[Verdict]) {
    for step in [1, 2, 3, 7, 4096] {
        assert_eq!(verdicts(request.as_bytes(), step), expected, "{request:?} by {step}");
    }
}

#[test]
fn plain_requests_pass_one_after_another() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[None; 2]);
}

#[test]
fn bodies_are_not_read_as_heads() {
    let inner = "GET / HTTP/1.1\nHost: a\n\n";
    check(
        &format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}\
             POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
             {:x};x=y\r\n{inner}\r\n0\r\nTrailer: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            inner.len(),
            inner.len(),
        ),
        &[None; 3],
    );
}

#[test]
fn each_ambiguity_is_named() {
    for (lines, fault) in [
        ("Host: a\n", Fault::BareLf),
        ("Host: a\r\nX: b\n", Fault::BareLf),
        ("", Fault::NoHost),
        ("Host: a\r\nhost: a\r\n", Fault::SeveralHosts),
        ("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", Fault::SeveralLengths),
        ("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", Fault::LengthAndCoding),
        ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", Fault::Coding),
        ("Host: a\r\nTransfer-Encoding: chunked, chunked\r\n", Fault::Coding),
        ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Fault::Coding),
        ("Host: a\r\nTransfer-Encoding: identity\r\n", Fault::Coding),
        ("Host: a\r\nTransfer-Encoding:\r\n", Fault::Coding),
        ("Host: a\r\nContent-Length: +1\r\n", Fault::Length),
        ("Host: a\r\nContent-Length:\r\n", Fault::Length),
        ("Host: a\r\nContent-Length: 1, 1\r\n", Fault::Length),
        ("Host: a\r\nContent-Length: 18446744073709551616\r\n", Fault::Length),
    ] {
        check(&format!("POST / HTTP/1.1\r\n{lines}\r\n"), &[Some(fault)]);
    }
    check("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", &[Some(Fault::Fragment)]);
    check("GET / HTTP/1.1\nHost: a\r\n\r\n", &[Some(Fault::BareLf)]);
    check("GET / HTTP/1.1\r\nHost: a\r\n\n", &[Some(Fault::BareLf)]);
    check("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[Some(Fault::BareLf)]);
    check("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[Some(Fault::BareCr)]);
    check("\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[Some(Fault::BareCr)]);
    check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[None]);
}

#[test]
fn long_lines_keep_their_end() {
    let long = "x".repeat(3000);
    check(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), &[None]);
    check(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\n\r\n"), &[Some(Fault::BareLf)]);
}

#[test]
fn after_an_ambiguity_nothing_more_is_judged() {
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[Some(Fault::LengthAndCoding)],
    );
}

#[test]
fn a_length_hidden_behind_many_zeros_is_a_fault() {
    let zeros = "0".repeat(2000);
    check(
        &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {zeros}5\r\n\r\n"),
        &[Some(Fault::Length)],
    );
    let target = "x".repeat(3000);
    check(&format!("GET /{target}#y HTTP/1.1\r\nHost: a\r\n\r\n"), &[Some(Fault::Fragment)]);
}

/// How many bytes of a body may be believed, and the verdicts on heads.
fn believed(body: &str, step: usize) -> (usize, usize) {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut framing = Framing::default();
    let (mut verdicts, mut passed) = (0, 0);
    for part in [head, body].concat().as_bytes().chunks(step) {
        let taken = framing.follow(part, |_, _| verdicts += 1);
        passed += taken;
        if taken < part.len() {
            break;
        }
    }
    (passed - head.len(), verdicts)
}

#[test]
fn a_body_is_believed_up_to_its_first_fault() {
    // The bar stands before the first byte that must not pass.
    for body in [
        "5|\nhello\r\n0\r\n\r\n",
        "5\r|hello\r\n0\r\n\r\n",
        "|\r\nhello\r\n0\r\n\r\n",
        "|;x\r\n",
        "| 5\r\n",
        "0|x5\r\nhello\r\n0\r\n\r\n",
        "|-5\r\n",
        "5;a=|\nhello\r\n0\r\n\r\n",
        "5;a=\"\r|x\"\r\n",
        "5;a=|\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\"|\x01\"\r\nhello\r\n0\r\n\r\n",
        "5;|\x7f\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello|\n0\r\n\r\n",
        "5\r\nhello|X0\r\n\r\n",
        "5\r\nhello\r|\r\n0\r\n\r\n",
        "0\r\n|\n",
        "0\r\nX: 1|\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\nX: 1\r\n|\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\nX: 1\r|X\r\n\r\n",
        "100000000000000|0\r\n",
    ] {
        let good = body.find('|').unwrap();
        for step in [1, 2, 3, 7, 4096] {
            assert_eq!(believed(&body.replace('|', ""), step), (good, 1), "{body:?} by {step}");
        }
    }
}

#[test]
fn extensions_and_trailers_end_where_their_lines_end() {
    for body in [
        "5;a=b;c=\"\t\u{e9}\"\r\nhello\r\n0;z\r\n\r\n",
        "00\r\nX: 1\r\nY: 2\r\n\r\n",
        "0 \t\r\n\r\n",
    ] {
        let with_next = format!("{body}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for step in [1, 2, 3, 7, 4096] {
            assert_eq!(believed(&with_next, step), (with_next.len(), 2), "{body:?} by {step}");
        }
    }
}
