//! KooDrive is as strict as its pages say.

use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::json;

use crate::support::caller::Caller;
use crate::support::faults::Behaviour;
use crate::support::koodrive::auth::App;
use crate::support::koodrive::carrier::Carrier;
use crate::support::koodrive::{PREVERIFY, Refusal, content};
use crate::support::recording::sha256;
use crate::support::tests::{GOOD, Town};

#[tokio::test]
async fn a_koodrive_token_slides_twenty_minutes_from_each_accepted_call() {
    let town = Town::start();
    let token = town.koodrive.sessions.issue("alice");
    let alice = town.holder(&token);
    for _ in 0..4 {
        town.clock.advance(Duration::from_mins(19));
        assert_eq!(alice.preverify(GOOD).await.status, 200);
    }
    town.clock.advance(Duration::from_mins(10));
    town.koodrive.switch.next(1, Behaviour::status(503));
    assert_eq!(alice.preverify(GOOD).await.status, 503);
    town.clock.advance(Duration::from_mins(10));
    let refused = alice.preverify(GOOD).await;
    assert_eq!((refused.status, &refused.json()["error_code"]), (401, &json!("APIGW.0307")));
}

#[tokio::test]
async fn koodrive_wants_exactly_one_live_token() {
    let town = Town::start();
    let token = town.koodrive.sessions.issue("alice");
    let good = format!("Bearer {token}");
    let upper = format!("Bearer {}", token.to_uppercase());
    let cases: [(&[&str], u16); 7] = [
        (&[&good], 200),
        (&[], 401),
        (&[&good, &good], 401),
        (&[&token], 401),
        (&[&format!("Bearer+{token}")], 401),
        (&[&format!("Bearer  {token}")], 401),
        (&[&upper], 401),
    ];
    let nobody = Caller::new(&town.http, town.koodrive.url(), None);
    for (values, status) in cases {
        let call = nobody.call(Method::GET, "/koodrive/ose/v1/users/1");
        let call = values.iter().fold(call, |call, value| call.header("authorization", value));
        assert_eq!(call.send().await.status, status, "{values:?}");
    }
    town.koodrive.sessions.revoke(&token);
    town.koodrive.set_refusal(Refusal::Envelope { status: 400, code: json!(13_000_999) });
    let refused = town.holder(&token).preverify(GOOD).await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!(13_000_999)));
}

#[tokio::test]
async fn koodrive_wants_a_trace_id_of_58_characters_if_any() {
    let town = Town::start();
    let alice = town.holder(&town.koodrive.sessions.issue("alice"));
    let legal = "a".repeat(58);
    let cases: [(&[&str], u16); 6] = [
        (&[], 200),
        (&[&legal], 200),
        (&[&"a".repeat(57)], 400),
        (&[&"a".repeat(59)], 400),
        (&[&format!("{}.", "a".repeat(57))], 400),
        (&[&legal, &legal], 400),
    ];
    for (values, status) in cases {
        let call = alice.call(Method::GET, "/koodrive/ose/v1/userList?limit=1&offset=0");
        let call = values.iter().fold(call, |call, value| call.header("x-traceid", value));
        assert_eq!(call.send().await.status, status, "{values:?}");
    }
}

#[tokio::test]
async fn koodrive_checks_each_batch() {
    let town = Town::start();
    let alice = town.holder(&town.koodrive.sessions.issue("alice"));
    let broken = GOOD.replacen(',', "", 1);
    let cases = [
        (GOOD.to_owned(), 200),
        (broken, 400),
        (GOOD.replace("793", "7930"), 400),
        (GOOD.replace(":10", ":0"), 400),
        (GOOD.replace(":10", ":10.0"), 400),
        (GOOD.replace(":0,", ":1,"), 400),
        (GOOD.replace("研发部", &"研".repeat(21)), 400),
        (r#"{"curDeptId":1,"users":[]}"#.to_owned(), 400),
        (String::new(), 400),
    ];
    for (batch, status) in cases {
        assert_eq!(alice.preverify(batch.clone()).await.status, status, "{batch}");
    }
    let zh = alice.call(Method::POST, PREVERIFY).header("language", "zh-CN").json(GOOD);
    assert_eq!(zh.send().await.json()["msg"], json!("成功"));
    assert_eq!(alice.call(Method::PUT, PREVERIFY).json(GOOD).send().await.status, 404);
}

#[tokio::test]
async fn bytes_go_up_and_come_down_unchanged() {
    let town = Town::start();
    let alice = town.holder(&town.koodrive.sessions.issue("alice"));
    let body = content::expected(300_000);
    let up = alice.post("/koodrive/ose/v1/files/create", body.clone()).await.json();
    assert_eq!(up["data"], json!({ "size": 300_000, "sha256": sha256(&body) }));
    for query in ["", "?chunked", "?trailers"] {
        let target = format!("/koodrive/test/bytes/300000{query}");
        let down = alice.call(Method::GET, &target).header("te", "trailers").send().await;
        assert_eq!(down.body, body, "{query}");
        let length = query.is_empty().then_some("300000");
        assert_eq!(down.header("content-length"), length, "{query}");
        let checksum = down.trailers.map(|trailers| trailers["x-checksum"].clone());
        let expected = (query == "?trailers").then(|| content::expected_sha256(300_000));
        assert_eq!(checksum.map(|value| value.to_str().unwrap().to_owned()), expected, "{query}");
    }
    let echo = alice.get("/koodrive/test/echo?q=%E4%BD%A0").await.json();
    assert_eq!(echo["target"], json!("/koodrive/test/echo?q=%E4%BD%A0"));
    let seen = town.koodrive.received.all();
    assert_eq!(seen[0].body.sha256, sha256(&body));
    assert!(seen[0].contains(alice.token().unwrap().as_bytes()));
}

/// The vector of the project's notes on the signature (no server of KooDrive's gave one).
#[tokio::test]
async fn an_application_signs_instead_of_holding_a_token() {
    let town = Town::start();
    let (id, secret) = ("app".to_owned(), "example-app-secret".to_owned());
    town.koodrive.set_app(App { id, secret });
    // 20240909T033325Z, as the clock must show it.
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_725_852_805);
    let seconds = town.clock.now().duration_since(then).unwrap().as_secs();
    let behind = i64::try_from(seconds).unwrap();
    let body = r#"{"curDeptId":1575416580416769793,"users":[{"targetDeptName":"Dept","personalCapacity":10,"isAllocateCapacity":true}]}"#;
    let signature = "a36058271432dda37d6bf9947734c7c4d4096de176d504a64b2c02cf36a1316c";
    let nobody = Caller::new(&town.http, town.koodrive.url(), None);
    let call = |signature: &str, body: &'static str| {
        let value = format!(
            "HMAC-SHA256 AppId=app,SignedHeaders=host;x-date;x-user-id,Signature={signature}"
        );
        nobody
            .call(Method::POST, PREVERIFY)
            .header("host", "cn.myhuaweicloud-koodrive.com")
            .header("x-date", "20240909T033325Z")
            .header("x-user-id", "1505084218764547200")
            .header("authorization", &value)
            .json(body)
            .send()
    };
    for (late, status) in [(0, 401), (60, 200), (14 * 60, 200), (16 * 60, 401)] {
        town.koodrive.clock().set_ahead(late - behind - 30);
        assert_eq!(call(signature, body).await.status, status, "{late} s late");
    }
    town.koodrive.clock().set_ahead(60 - behind);
    assert_eq!(call(&signature.replace('a', "b"), body).await.status, 401);
    assert_eq!(call(signature, GOOD).await.status, 401);
}

#[tokio::test]
async fn the_carrier_edition_logs_in_by_account() {
    let town = Town::start();
    town.koodrive.set_carrier(Carrier::new("ops", "open sesame, 100 %"));
    let nobody = Caller::new(&town.http, town.koodrive.url(), None);
    let login = |password: &str| {
        let body = json!({ "account": "ops", "authType": "1", "password": password });
        let call = nobody.call(Method::POST, "/koodrive/ose/v1/auth/login").json(body.to_string());
        call.header("x-hw-agentname", "standard").send()
    };
    assert_eq!(login("wrong").await.status, 400);
    let session = login("open sesame, 100 %").await.json()["data"]["sessionInfo"].clone();
    let token = session["accessToken"].as_str().unwrap();
    assert!(session["expiresIn"] == 1800 && token.starts_with("AT "), "{session}");
    let with = |target: &str, body: &str| {
        let call = nobody.call(Method::POST, target).header("authorization", token);
        call.json(body.to_owned()).send()
    };
    assert_eq!(with(PREVERIFY, GOOD).await.status, 200);
    let refresh = json!({ "refreshToken": session["refreshToken"] }).to_string();
    let renewed = with("/koodrive/ose/v1/auth/refreshToken", &refresh).await.json();
    let renewed = renewed["data"]["sessionInfo"]["accessToken"].clone();
    assert!(renewed.as_str().unwrap().starts_with("AT ") && renewed != token, "{renewed}");
}
