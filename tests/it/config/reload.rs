//! Changes of files while the gateway runs.

use std::os::unix::fs::symlink;
use std::path::Path;

use koodrive_gateway::config::{Watcher, keeping_restart_only, load, restart_only};
use secrecy::ExposeSecret as _;

use super::{Folder, GOOD, parse, write_files};

fn with_secret(calls: u32) -> String {
    let client = "client_id = \"gateway\"\nclient_secret_file = \"client-secret\"\n\n[forward]";
    format!("{}\n[limit]\ncalls_per_minute = {calls}\n", GOOD.replace("[forward]", client))
}

fn watch(path: &Path) -> Watcher {
    let loaded = load(path, std::iter::empty()).unwrap();
    Watcher::new(path, std::iter::empty(), &loaded)
}

#[test]
fn a_change_is_told_once() {
    let folder = Folder::new();
    folder.write("client-secret", "first\n");
    let path = folder.write("gateway.toml", with_secret(10));
    let mut watcher = watch(&path);
    assert!(watcher.poll().is_none());

    folder.write("gateway.toml", with_secret(10)); // same content, new time
    assert!(watcher.poll().is_none());

    folder.write("gateway.toml", with_secret(20));
    let loaded = watcher.poll().unwrap().unwrap();
    assert_eq!(loaded.config.limit.calls_per_minute.get(), 20);
    assert!(watcher.poll().is_none());
}

#[test]
fn a_secret_that_changes_is_a_change() {
    let folder = Folder::new();
    folder.write("client-secret", "first\n");
    let path = folder.write("gateway.toml", with_secret(10));
    let mut watcher = watch(&path);

    folder.write("client-secret", "second\n");
    let loaded = watcher.poll().unwrap().unwrap();
    assert_eq!(
        loaded.config.token.client_secret_file.password().unwrap().expose_secret(),
        "second"
    );
    assert!(watcher.poll().is_none());
}

#[test]
fn a_bad_change_is_told_once_and_a_good_one_after_it() {
    let folder = Folder::new();
    folder.write("client-secret", "first\n");
    let path = folder.write("gateway.toml", with_secret(10));
    let mut watcher = watch(&path);

    folder.write("gateway.toml", with_secret(0));
    let error = watcher.poll().unwrap().unwrap_err().to_string();
    assert!(error.contains("limit.calls_per_minute"), "{error}");
    assert!(watcher.poll().is_none());

    folder.write("gateway.toml", "[limit");
    let error = watcher.poll().unwrap().unwrap_err().to_string();
    assert!(error.contains("not TOML"), "{error}");
    assert!(watcher.poll().is_none());

    std::fs::remove_file(&path).unwrap();
    let error = watcher.poll().unwrap().unwrap_err().to_string();
    assert!(error.ends_with("no such file"), "{error}");
    assert!(watcher.poll().is_none());

    folder.write("gateway.toml", with_secret(10)); // what runs since the start
    assert!(watcher.poll().unwrap().is_ok());
    assert!(watcher.poll().is_none());
}

#[test]
fn a_secret_that_goes_away_is_told_once() {
    let folder = Folder::new();
    let secret = folder.write("client-secret", "first\n");
    let path = folder.write("gateway.toml", with_secret(10));
    let mut watcher = watch(&path);

    std::fs::remove_file(&secret).unwrap();
    let error = watcher.poll().unwrap().unwrap_err().to_string();
    assert!(error.ends_with("client-secret: no such file"), "{error}");
    assert!(watcher.poll().is_none());
}

/// Kubernetes: `gateway.toml → ..data/gateway.toml`, `..data → ..<time>`; an update writes a new
/// folder and renames a new `..data` over the old one.
#[test]
fn a_swapped_symlink_is_a_change_of_all_its_files() {
    let folder = Folder::new();
    let swap = |generation: u32| {
        let data = format!("..{generation}");
        folder.write(&format!("{data}/gateway.toml"), with_secret(generation));
        folder.write(&format!("{data}/client-secret"), format!("secret-{generation}\n"));
        let new = folder.path().join("..new");
        symlink(&data, &new).unwrap();
        std::fs::rename(new, folder.path().join("..data")).unwrap();
    };
    swap(1);
    for name in ["gateway.toml", "client-secret"] {
        symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
    }
    let mut watcher = watch(&folder.path().join("gateway.toml"));
    for generation in 2..50 {
        assert!(watcher.poll().is_none());
        swap(generation);
        let loaded = watcher.poll().unwrap().unwrap();
        assert_eq!(loaded.config.limit.calls_per_minute.get(), generation);
        let secret = loaded.config.token.client_secret_file.password().unwrap();
        assert_eq!(secret.expose_secret(), format!("secret-{generation}"));
    }
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let folder = Folder::new();
    let config = |more: &str| parse(&format!("{GOOD}{more}"), folder.path(), &[]).unwrap().config;
    let old = config("");
    let cases: [(&str, &[&str]); 4] = [
        ("", &[]),
        ("[limit]\ncalls_burst = 17\n[lifecycle]\ndrain = \"1s\"", &[]),
        ("[listen]\naddress = \"127.0.0.1:8081\"", &["listen.address"]),
        (
            "[telemetry]\nlog_level = \"debug\"\naccess_log = false\n[admin]\naddress = \"127.0.0.1:1\"",
            &["admin.address", "telemetry.access_log", "telemetry.log_level"],
        ),
    ];
    for (more, expected) in cases {
        let new = config(more);
        assert_eq!(restart_only(&old, &new), expected, "{more}");
        let kept = keeping_restart_only(&old, &new);
        assert_eq!(restart_only(&old, &kept), Vec::<&str>::new());
        assert_eq!(kept.limit, new.limit);
        assert_eq!(kept.lifecycle, new.lifecycle);
        assert_eq!(kept.listen, old.listen);
    }
}

#[test]
fn a_renewed_certificate_under_the_same_path_needs_no_restart() {
    let folder = Folder::new();
    let document =
        format!("{GOOD}[listen]\ntls_certificate_file = \"one.pem\"\ntls_key_file = \"one.key\"\n");
    write_files(&folder);
    let old = parse(&document, folder.path(), &[]).unwrap().config;
    write_files(&folder);
    let new = parse(&document, folder.path(), &[]).unwrap().config;
    assert_ne!(old.listen, new.listen);
    assert_eq!(restart_only(&old, &new), Vec::<&str>::new());
    assert_eq!(keeping_restart_only(&old, &new).listen, new.listen);

    let moved = document.replace("one.", "other.");
    let new = parse(&moved, folder.path(), &[]).unwrap().config;
    assert_eq!(restart_only(&old, &new), ["listen.tls_certificate_file", "listen.tls_key_file"]);
    assert_eq!(keeping_restart_only(&old, &new).listen, old.listen);
}

#[test]
fn the_users_of_an_issuer_are_read() {
    let folder = Folder::new();
    write_files(&folder);
    let named = "koodrive_users_file = \"users.toml\"\naudiences =";
    let document = GOOD.replacen("audiences =", named, 1);
    let config = parse(&document, folder.path(), &[]).unwrap().config;
    let users = config.accept.issuers[0].koodrive_users_file.content().unwrap();
    assert_eq!(users.get("alice@example.com").unwrap(), "1575416580416769793");
}
