//! Reading bodies into memory: the same bytes, never beyond the grant.

use futures_util::FutureExt as _;
use http_body_util::StreamBody;

use super::*;

/// A body of pieces; `announced` is what its head said of its length.
struct Pieces {
    inner: StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Piece>>>,
    announced: Option<u64>,
}

type Piece = Result<Frame<Bytes>, BodyError>;

impl Pieces {
    fn of(pieces: &[usize], announced: bool) -> (Self, Vec<u8>) {
        let bytes: Vec<u8> =
            (0..pieces.iter().sum()).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut rest = Bytes::from(bytes.clone());
        let frames: Vec<Piece> =
            pieces.iter().map(|len| Ok(Frame::data(rest.split_to(*len)))).collect();
        let inner = StreamBody::new(futures_util::stream::iter(frames));
        (Self { inner, announced: announced.then_some(bytes.len() as u64) }, bytes)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

const BYTES_MAX: usize = 1024 * 1024;

#[test]
fn a_body_is_held_as_it_came_and_its_whole_room_is_granted() {
    for (pieces, announced, granted) in [
        (vec![], true, 0),
        (vec![80], true, 80),
        (vec![80], false, 80),
        (vec![0, 80], true, 80),
        (vec![40, 40], true, 80),
        (vec![40, 40], false, ROOM_MIN),
        (vec![8192; 10], true, 81_920),
        (vec![8192; 16], false, ROOM_MIN),
        (vec![8192; 17], true, 17 * 8192),
        (vec![8192; 17], false, 2 * 17 * 8192),
        (vec![8192; 128], true, BYTES_MAX),
        (vec![8192; 128], false, BYTES_MAX),
    ] {
        let budget = Budget::new(8 * BYTES_MAX);
        let (body, bytes) = Pieces::of(&pieces, announced);
        let read = read_budgeted(body, BYTES_MAX, &budget).now_or_never().and_then(Result::ok);
        let read = read.expect("it is all there");
        assert!(read.bytes == bytes, "{pieces:?}");
        let taken = 8 * BYTES_MAX - budget.free.load(Ordering::Relaxed);
        assert_eq!(taken, granted, "{} pieces, announced: {announced}", pieces.len());
        drop(read);
        assert_eq!(budget.free.load(Ordering::Relaxed), 8 * BYTES_MAX, "all is given back");
    }
}

#[test]
fn a_body_beyond_its_bounds_is_refused_and_gives_back_what_it_took() {
    for (pieces, announced, budget, too_large) in [
        (vec![BYTES_MAX + 1], false, BYTES_MAX, true),
        (vec![8192; 129], true, BYTES_MAX, true),
        (vec![8192; 129], false, BYTES_MAX, true),
        (vec![100], true, 99, false),
        (vec![8192; 20], true, 8192 * 20 - 1, false),
        (vec![8192; 2], false, ROOM_MIN - 1, false),
    ] {
        let budget = Budget::new(budget);
        let before = budget.free.load(Ordering::Relaxed);
        let (body, _) = Pieces::of(&pieces, announced);
        let error = read_budgeted(body, BYTES_MAX, &budget).now_or_never().and_then(Result::err);
        let expected = match error {
            Some(BodyError::TooLarge(_)) => Some(true),
            Some(BodyError::NoBudget) => Some(false),
            _ => None,
        };
        assert_eq!(expected, Some(too_large), "{} pieces", pieces.len());
        assert_eq!(budget.free.load(Ordering::Relaxed), before);
    }
}

#[test]
fn the_end_of_a_refused_body_is_not_that_of_the_next_one() {
    let intake = Intake::new(Budget::new(0));
    intake.begin_call(true);
    let refused = intake.rest();
    intake.begin_call(true);
    refused.end();
    assert!(intake.is_in_body());
    intake.rest().end();
    assert!(!intake.is_in_body());
}

/// So is nearly every call.
#[test]
fn a_body_that_one_small_read_takes_borrows_no_memory() {
    let total = 16 * 1024 * 1024;
    for (bytes, borrows) in
        [(Some(1), false), (Some(16 * 1024), false), (Some(16 * 1024 + 1), true), (None, true)]
    {
        let budget = Budget::new(total);
        let intake = Intake::new(Arc::clone(&budget));
        intake.begin_call(true);
        let stranger = intake.bytes_max();
        intake.begin_body(bytes);
        assert_eq!(budget.free() < total, borrows, "{bytes:?}");
        assert_eq!(stranger < intake.bytes_max(), borrows, "{bytes:?}");
        intake.end_body();
        assert_eq!(budget.free(), total, "{bytes:?}");
    }
}
