//! Bodies that passed, read with `serde_json`'s typed parser, which refuses a member twice.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::Write as _;
use std::sync::{LazyLock, Mutex};

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Batch<'b> {
    #[serde(borrow)]
    pub(crate) cur_dept_id: &'b RawValue,
    #[serde(borrow)]
    pub(crate) users: Vec<User<'b>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User<'b> {
    #[serde(borrow)]
    personal_capacity: &'b RawValue,
    is_allocate_capacity: bool,
    #[serde(default)]
    target_dept_name: Option<String>,
}

/// Reads it as a Java long, as an unsigned one and as a tree; all must say what is written.
pub(crate) fn read(body: &[u8]) -> Batch<'_> {
    let batch: Batch<'_> = serde_json::from_slice(body).expect("what passes can be read");
    let tree: serde_json::Value = serde_json::from_slice(body).expect("what passes can be read");
    assert!(1 <= integer(batch.cur_dept_id, &tree["curDeptId"]));
    for (index, user) in batch.users.iter().enumerate() {
        let in_tree = &tree["users"][index];
        let capacity = integer(user.personal_capacity, &in_tree["personalCapacity"]);
        assert!(user.is_allocate_capacity || capacity == 0);
        assert_eq!(in_tree["isAllocateCapacity"].as_bool(), Some(user.is_allocate_capacity));
        assert_eq!(in_tree["targetDeptName"].as_str(), user.target_dept_name.as_deref());
    }
    batch
}

fn integer(written: &RawValue, in_tree: &serde_json::Value) -> i64 {
    let signed: i64 = serde_json::from_str(written.get()).expect("a long");
    let unsigned: u64 = serde_json::from_str(written.get()).expect("not negative");
    assert_eq!(signed.to_string(), written.get());
    assert_eq!(u64::try_from(signed), Ok(unsigned));
    assert_eq!(in_tree.as_i64(), Some(signed));
    signed
}

struct Kept {
    file: File,
    /// Of bodies kept before.
    digests: HashSet<u64>,
}

static KEPT: LazyLock<Option<Mutex<Kept>>> = LazyLock::new(|| {
    let path = std::env::var_os("BATCH_PASSED")?;
    let file = File::options().create(true).append(true).open(path).expect("a file to append to");
    Some(Mutex::new(Kept { file, digests: HashSet::new() }))
});

/// Appends `<bytes> <curDeptId> <capacities, comma separated>`, a line feed, the body, a line feed.
pub(crate) fn keep(body: &[u8], batch: &Batch<'_>) {
    const KEPT_MAX: usize = 300_000;
    let Some(kept) = &*KEPT else { return };
    let mut kept = kept.lock().expect("nothing panics while it holds the lock");
    let digest = BuildHasherDefault::<DefaultHasher>::default().hash_one(body);
    if KEPT_MAX <= kept.digests.len() || !kept.digests.insert(digest) {
        return;
    }
    let capacities: Vec<_> = batch.users.iter().map(|user| user.personal_capacity.get()).collect();
    let head = format!("{} {} {}\n", body.len(), batch.cur_dept_id.get(), capacities.join(","));
    let entry = [head.as_bytes(), body, b"\n"].concat();
    kept.file.write_all(&entry).expect("room on the disk");
}
