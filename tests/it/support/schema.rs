//! Every configuration that a gateway takes in any test, the editors' schema must accept.

use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use koodrive_gateway::config::schema;
use toml::Table;

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&schema()).expect("the schema is one"));

/// # Panics
/// When the schema refuses the document, which the gateway has taken.
pub(super) fn accepts(config: &Path) {
    let text = std::fs::read_to_string(config).expect("the gateway could read it");
    let document: Table = text.parse().expect("the gateway could parse it");
    let document = serde_json::to_value(document).expect("a table is an object");
    if let Err(fault) = VALIDATOR.validate(&document) {
        panic!("the schema refuses {fault} at {} of\n{text}", fault.instance_path());
    }
}
