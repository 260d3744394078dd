//! Texts that are kept beside the tests, so that a change of how they look is seen in a review.

use std::path::Path;

/// Whether the text is what is kept. With `PINTAIL_UPDATE_GOLDEN=1` it is kept from now on.
pub(crate) fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("PINTAIL_UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("the folder");
        std::fs::write(&path, text).expect("the golden file");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{name} differs from what is kept. If it should, run again with PINTAIL_UPDATE_GOLDEN=1.\n\n{text}"
    );
}
