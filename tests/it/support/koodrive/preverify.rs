//! Preverify, judged by the API page's own table (batchImportUserPreVerify).

use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;

use crate::support::koodrive::envelopes::{parameters_wrong, success};
use crate::support::recording::Received;
use crate::support::server::Answer;

/// A department that does not exist, for batches that are well formed and still not welcome.
pub const UNKNOWN_DEPARTMENT: &str = "No such department";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    cur_dept_id: i64,
    users: Vec<ImportUserInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImportUserInfo {
    target_dept_name: Option<String>,
    personal_capacity: i64,
    is_allocate_capacity: bool,
}

pub(super) fn verify(received: &Received) -> Answer {
    let content_type = received.headers.get(CONTENT_TYPE).map(|value| value.to_str());
    let json_sent = match content_type {
        None => true, // optional, JSON unless said otherwise (koodrive_05_0009)
        Some(Ok(text)) => text.starts_with("application/") && text.contains("json"),
        Some(Err(_)) => false,
    };
    let batch = serde_json::from_slice::<Batch>(&received.body.prefix).ok();
    let Some(batch) = batch.filter(|batch| json_sent && batch.is_legal()) else {
        return parameters_wrong(&received.headers);
    };
    let results = batch.users.iter().map(|user| {
        if user.target_dept_name.as_deref() == Some(UNKNOWN_DEPARTMENT) {
            json!({ "isSuccess": 1, "reason": "The department does not exist." })
        } else {
            json!({ "isSuccess": 0, "reason": "" })
        }
    });
    success(&received.headers, &results.collect())
}

impl Batch {
    fn is_legal(&self) -> bool {
        0 < self.cur_dept_id && !self.users.is_empty() && self.users.iter().all(is_legal)
    }
}

fn is_legal(user: &ImportUserInfo) -> bool {
    let name_legal = user.target_dept_name.as_ref().is_none_or(|name| name.chars().count() <= 20);
    let capacity_legal = if user.is_allocate_capacity {
        0 < user.personal_capacity
    } else {
        user.personal_capacity == 0
    };
    name_legal && capacity_legal
}
