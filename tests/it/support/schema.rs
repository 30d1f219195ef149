//! Every configuration that a gateway takes in any test, the editors' schema must accept: judged by
//! a validator that is not ours.

use std::path::Path;
use std::sync::LazyLock;

use boon::{Compiler, ErrorKind, SchemaIndex, Schemas, ValidationError};
use koodrive_gateway::config::schema;
use toml::Table;

/// Compiling holds it to the schema of schemas as well.
static SCHEMA: LazyLock<(Schemas, SchemaIndex)> = LazyLock::new(|| {
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.add_resource(PLACE, schema()).expect("the schema is JSON");
    let index = compiler.compile(PLACE, &mut schemas).unwrap_or_else(|fault| panic!("{fault:#}"));
    (schemas, index)
});

const PLACE: &str = "https://example.com/gateway.schema.json";

/// The places of a document that the schema refuses, each with the reason.
pub(crate) fn faults(document: &Table) -> Vec<(String, String)> {
    let document = serde_json::to_value(document).expect("a table is an object");
    let (schemas, index) = &*SCHEMA;
    let mut faults = Vec::new();
    if let Err(error) = schemas.validate(&document, *index) {
        told(&error, &mut faults);
    }
    faults
}

/// What only holds other faults together is none of its own.
fn told(error: &ValidationError<'_, '_>, faults: &mut Vec<(String, String)>) {
    match error.kind {
        ErrorKind::Group
        | ErrorKind::Schema { .. }
        | ErrorKind::Reference { .. }
        | ErrorKind::AllOf => error.causes.iter().for_each(|cause| told(cause, faults)),
        _ => faults.push((error.instance_location.to_string(), error.kind.to_string())),
    }
}

/// # Panics
/// When the schema refuses the document, which the gateway has taken.
pub(super) fn accepts(config: &Path) {
    let text = std::fs::read_to_string(config).expect("the gateway could read it");
    let faults = faults(&text.parse().expect("the gateway could parse it"));
    assert!(faults.is_empty(), "the schema refuses {faults:?} of\n{text}");
}
