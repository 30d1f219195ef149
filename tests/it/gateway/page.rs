//! The admin page, as an operator finds it after some calls.

use std::time::Duration;

use crate::gateway::{SOON, batch_of, trace_of};
use crate::support::world::World;

#[tokio::test]
async fn the_page_shows_keys_tokens_limits_and_refusals_with_links_to_their_traces() {
    let config = "[telemetry]\njaeger_ui = 'http://jaeger.example:16686/ui/'";
    let world = World::plan().config(config).start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.preverify(batch_of(1)).await.status, 200);
    let refused = alice.preverify("{}".to_owned()).await;
    assert_eq!(refused.status, 400);
    let trace_id = refused.trace_id();
    let expected = [
        "<strong class=good>ready</strong>".to_owned(),
        format!("<dt>{}</dt><dd><b class=good>usable</b>", world.sso.issuer()),
        "<dt>access tokens cached</dt><dd>1</dd>".to_owned(),
        "<dt>SSO tokens verified before</dt><dd>1</dd>".to_owned(),
        "<dt>callers tracked</dt><dd>1</dd>".to_owned(),
        "<b class=note>400 batch_malformed</b>".to_owned(),
        format!("<a href=\"http://jaeger.example:16686/ui/trace/{}\">", trace_of(&trace_id)),
        trace_id,
    ];
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    let (mut page, mut missing) = (String::new(), Vec::new());
    let asking = async {
        loop {
            pause.tick().await;
            page = world.admin().get("/").await.text();
            missing = expected.iter().filter(|text| !page.contains(text.as_str())).collect();
            if missing.is_empty() {
                return;
            }
        }
    };
    let shown = tokio::time::timeout(SOON, asking).await.is_ok();
    assert!(shown, "without {missing:?}:\n{page}");
    assert!(!page.contains("<script"), "the page needs none");
}
