//! KooDrive's ways of answering: its own envelope, and that of the API gateway before it.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::recording::random_hex;
use crate::support::server::{Answer, json_answer};

/// "Verify parameters failed."
pub const PARAMETERS_WRONG: u32 = 13_000_102;

pub(super) fn no_such_api() -> Answer {
    api_gateway(404, "APIGW.0101", "The API does not exist or has not been published")
}

/// KooDrive's envelope for a yes.
pub(super) fn success(headers: &HeaderMap, data: &Value) -> Answer {
    let msg = if chinese(headers) { "成功" } else { "Successful" };
    json_answer(200, &json!({ "code": 0, "msg": msg, "data": data }))
}

pub(super) fn parameters_wrong(headers: &HeaderMap) -> Answer {
    let msg = if chinese(headers) { "参数校验失败" } else { "Verify parameters failed." };
    json_answer(400, &json!({ "code": PARAMETERS_WRONG, "msg": msg }))
}

/// The shape of the API gateway in front of KooDrive.
pub(super) fn api_gateway(status: u16, code: &str, message: &str) -> Answer {
    let request_id = random_hex(16);
    let body = json!({ "error_msg": message, "error_code": code, "request_id": request_id });
    json_answer(status, &body)
}

/// Nothing sent means English (batchImportUserPreVerify).
fn chinese(headers: &HeaderMap) -> bool {
    headers.get("language").is_some_and(|value| value.as_bytes().starts_with(b"zh"))
}
