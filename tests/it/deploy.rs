//! The manifests of `deploy/`: generated files are current.

use std::path::Path;
use std::process::Command;

#[test]
fn deploy_roles_are_what_the_catalogue_generates() {
    for role in ["reading", "acting"] {
        let output = Command::new(env!("CARGO_BIN_EXE_chiron"))
            .args(["cluster", "role", role])
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/{role}-role.yaml"));
        let kept = std::fs::read_to_string(&file).expect("the file is there");
        assert_eq!(
            kept,
            String::from_utf8_lossy(&output.stdout),
            "{} is out of date; hint: chiron cluster role {role} > deploy/{role}-role.yaml",
            file.display()
        );
    }
}
