use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::sample;
use super::*;

static SAMPLE: LazyLock<Report> = LazyLock::new(sample::report);

/// The elements of a page in their order, `/name` where one ends, if it is well-formed: every element is closed, by
/// itself or in its turn; every attribute is quoted; every `&` begins a reference that XML and HTML both know.
fn elements(page: &str) -> Result<Vec<String>, String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").ok_or("no HTML")?;
    let (mut open, mut elements) = (Vec::new(), Vec::new());
    while let Some(begin) = rest.find('<') {
        check_text(&rest[..begin])?;
        let (tag, after) = tag(&rest[begin + 1..])?;
        rest = after;
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        if tag.starts_with('/') {
            let opened = open.pop().unwrap_or_default();
            if opened != name {
                return Err(format!("</{name}> closes <{opened}>"));
            }
            elements.push(format!("/{name}"));
            continue;
        }
        check_attributes(&tag[name.len()..])?;
        if !tag.ends_with('/') {
            open.push(name.clone());
        }
        elements.push(name);
    }
    check_text(rest)?;
    if open.is_empty() { Ok(elements) } else { Err(format!("never closed: {open:?}")) }
}

/// A tag up to its `>`, which may stand in an attribute too, and what comes after it.
fn tag(text: &str) -> Result<(&str, &str), String> {
    let mut is_quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '<' => return Err(format!("< in a tag: {}", &text[..at])),
            '>' if !is_quoted => return Ok((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    Err("a tag without an end".to_owned())
}

fn check_text(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        if !known.iter().any(|reference| text[at..].starts_with(reference)) {
            return Err(format!("a bare & in {text}"));
        }
    }
    Ok(())
}

fn check_attributes(text: &str) -> Result<(), String> {
    let mut rest = text.trim_end_matches('/').trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").ok_or(format!("an attribute without value: {rest}"))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!("no name of an attribute: {name}"));
        }
        let (value, after) = after.split_once('"').ok_or("an attribute without end")?;
        check_text(value)?;
        rest = after.trim_start();
    }
    Ok(())
}

/// The sample with this text behind every name, word and sentence in it.
fn report_with(text: &str) -> Report {
    let mut report = SAMPLE.clone();
    let with = |name: &mut String| name.push_str(text);
    for field in [&mut report.pintail, &mut report.target, &mut report.shape] {
        with(field);
    }
    [&mut report.scenario.name, &mut report.scenario.unit].into_iter().for_each(with);
    [&mut report.machine.processor, &mut report.machine.system].into_iter().for_each(with);
    report.command.iter_mut().chain(&mut report.notes).for_each(with);
    report.scenario.settings = report.scenario.settings.into_iter().map(|(k, v)| (k + text, v + text)).collect();
    for run in report.runs.iter_mut().chain(&mut report.calibration) {
        with(&mut run.primary);
        run.measures = std::mem::take(&mut run.measures).into_iter().map(|(k, v)| (k + text, v)).collect();
        run.counts = std::mem::take(&mut run.counts).into_iter().map(|(k, v)| (k + text, v)).collect();
        run.errors = std::mem::take(&mut run.errors).into_iter().map(|(k, v)| (k + text, v)).collect();
        run.servers.iter_mut().for_each(|server| with(&mut server.name));
    }
    let search = report.search.as_mut().expect("the sample has a search");
    [&mut search.condition, &mut search.unit].into_iter().for_each(with);
    for probe in &mut search.probes {
        with(&mut probe.found);
        probe.generator.iter_mut().flat_map(|generator| &mut generator.trouble).for_each(with);
    }
    report.checks.iter_mut().for_each(|check| [&mut check.condition, &mut check.found].into_iter().for_each(with));
    report.profiles.iter_mut().for_each(|profile| [&mut profile.server, &mut profile.svg].into_iter().for_each(with));
    report
}

#[test]
fn the_page_is_well_formed() {
    let elements = elements(&html(&SAMPLE)).expect("well-formed");
    let number = |name: &str| elements.iter().filter(|element| *element == name).count();
    assert_eq!((number("svg"), number("iframe"), number("input")), (3 * 6 + 2 + 1, 1, 3));
    assert_eq!(number("script"), 0);
}

#[test]
fn the_checker_finds_what_is_not_well_formed() {
    for broken in ["<p>", "<p></b>", "<p a=b/>", "<p a/>", "a & b", "<p a=\"x<y\"/>", "<p a=\"&nbsp;\"/>"] {
        assert!(elements(&format!("<!DOCTYPE html>{broken}")).is_err(), "{broken}");
    }
    assert_eq!(elements("<!DOCTYPE html><p a=\"&lt;>\"><br/></p>").expect("sound"), ["p", "br", "/p"]);
}

#[test]
fn nothing_in_a_report_becomes_markup() {
    let plain = elements(&html(&SAMPLE)).expect("well-formed");
    for hostile in ["</title><script>x()</script>", "\" onload=\"x()", "' & <b>", "]]>", "<!--", "\u{0}\u{1b}\u{ffff}"]
    {
        assert_eq!(elements(&html(&report_with(hostile))).expect("well-formed"), plain, "{hostile:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn whatever_stands_in_a_report_stays_text(text in "[a-z<>&'\"/=!\\-\\[\\]\\x00-\\x1f ]{0,40}") {
        let plain = elements(&html(&SAMPLE)).expect("well-formed");
        prop_assert_eq!(elements(&html(&report_with(&text))), Ok(plain));
    }
}

#[test]
fn nothing_is_fetched() {
    let page = html(&SAMPLE);
    let without_names = page.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/Graphics", "");
    for fetching in ["http:", "https:", "src=", "url(", "@import", "<link"] {
        assert!(!without_names.contains(fetching), "{fetching}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let mut report = SAMPLE.clone();
    report.runs.clear();
    report.interrupted = true;
    (report.search, report.calibration) = (None, None);
    (report.profiles, report.checks, report.notes) = (vec![], vec![], vec![]);
    let page = html(&report);
    elements(&page).expect("well-formed");
    assert!(page.contains("was interrupted") && !page.contains("script-src"));
}

/// Whoever works on how the page looks keeps it: `PINTAIL_SAMPLE_PAGE=FILE cargo test -p pintail-bench sample_page`.
#[test]
fn the_sample_page_can_be_kept_as_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = std::env::var_os("PINTAIL_SAMPLE_PAGE").map_or(folder.path().join("page.html"), PathBuf::from);
    std::fs::write(&path, html(&SAMPLE)).expect("the page");
    let kept = std::fs::read_to_string(&path).expect("it is UTF-8, as it says");
    assert!(kept.contains("charset=\"utf-8\"") && elements(&kept).is_ok(), "{}", path.display());
}
