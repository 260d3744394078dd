//! A profile as a flame graph (Brendan Gregg, 2011): each function a box as wide as its share of the CPU time, on top of
//! those that called it. One SVG without anything from elsewhere; a click on a box makes it as wide as the picture, a
//! double click shows everything again.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::Profile;

/// How wide the picture is, in pixels.
const WIDTH: f64 = 1200.0;
/// How high a box is.
const ROW: f64 = 16.0;
/// How much room is above and below the boxes.
const MARGIN: f64 = 28.0;
/// Boxes narrower than this, in pixels, are left out: nobody sees them, and there can be thousands.
const BOX_WIDTH_MIN: f64 = 0.3;
/// How wide a letter is, for the names that are cut to fit.
const LETTER_WIDTH: f64 = 6.6;

/// The picture, as a whole SVG document.
#[must_use]
pub fn svg(profile: &Profile, title: &str) -> String {
    let root = tree(profile);
    let total = root.count;
    let height = MARGIN * 2.0 + ROW * root.depth() as f64;
    let mut picture = String::new();
    let _ = write!(
        picture,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"100%\" \
         font-family=\"ui-monospace, monospace\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"4\" y=\"17\" font-size=\"14\" fill=\"#222222\">{}: {total} samples in {:.1} s{}</text>\n",
        escaped(title),
        profile.duration.as_secs_f64(),
        if profile.lost > 0 { format!(", {} lost", profile.lost) } else { String::new() },
    );
    if total == 0 {
        let _ = writeln!(picture, "<text x=\"4\" y=\"40\" fill=\"#222222\">No CPU time was used.</text>");
    }
    let mut painter = Painter { picture, total, height };
    let mut left = 0;
    for (name, node) in &root.callees {
        painter.paint(name, node, left, 0);
        left += node.count;
    }
    painter.picture + SCRIPT + "</svg>\n"
}

/// A function as called by those below it.
#[derive(Debug, Default)]
struct Node<'a> {
    count: u64,
    callees: BTreeMap<&'a str, Node<'a>>,
}

impl Node<'_> {
    /// How many boxes stand on each other at most.
    fn depth(&self) -> usize {
        self.callees.values().map(|node| node.depth() + 1).max().unwrap_or(0)
    }
}

/// The threads first, by name, and on each what it began with.
fn tree(profile: &Profile) -> Node<'_> {
    let mut root = Node::default();
    for sample in &profile.samples {
        root.count += sample.count;
        let callers = sample.stack.iter().rev().flat_map(|location| location.lines.iter().rev());
        let mut node = &mut root;
        for name in std::iter::once(sample.thread.as_str()).chain(callers.map(|line| line.function.as_str())) {
            node = node.callees.entry(name).or_default();
            node.count += sample.count;
        }
    }
    root
}

struct Painter {
    picture: String,
    total: u64,
    height: f64,
}

impl Painter {
    /// Paints a function whose first sample is this one of all, and what it calls.
    fn paint(&mut self, name: &str, node: &Node<'_>, left: u64, row: usize) {
        let scale = WIDTH / self.total as f64;
        let (x, width) = (left as f64 * scale, node.count as f64 * scale);
        if width < BOX_WIDTH_MIN {
            return;
        }
        let y = self.height - MARGIN - ROW * (row + 1) as f64;
        let share = 100.0 * node.count as f64 / self.total as f64;
        let (text, plain) = (escaped(name), without_generics(name));
        let _ = write!(
            self.picture,
            "<g data-x=\"{x:.2}\" data-w=\"{width:.2}\" data-name=\"{}\"><title>{text}: {} samples, {share:.2} %</title>\
             <rect x=\"{x:.2}\" y=\"{y:.0}\" width=\"{width:.2}\" height=\"{}\" fill=\"{}\" rx=\"1\"/>",
            escaped(&plain),
            node.count,
            ROW - 1.0,
            colour(name),
        );
        let letters = ((width - 4.0) / LETTER_WIDTH).max(0.0) as usize;
        let shown = if letters < 3 { String::new() } else { escaped(&shortened(&plain, letters)) };
        let _ = writeln!(
            self.picture,
            "<text x=\"{:.2}\" y=\"{:.0}\" fill=\"#111111\">{shown}</text></g>",
            x + 2.0,
            y + 12.0
        );
        let mut left = left;
        for (name, callee) in &node.callees {
            self.paint(name, callee, left, row + 1);
            left += callee.count;
        }
    }
}

/// A name without the types that a function or a type is made for: they are most of its letters and tell the least.
fn without_generics(name: &str) -> String {
    let (mut plain, mut depth) = (String::with_capacity(name.len()), 0_u32);
    let mut before = ' ';
    for letter in name.chars() {
        match letter {
            // `<Type as Trait>::function` begins with one that stays.
            '<' if depth > 0 || before.is_alphanumeric() || matches!(before, '_' | ':' | '}') => depth += 1,
            '>' if depth > 0 && before != '-' => depth -= 1,
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
        before = letter;
    }
    plain.replace("::::", "::").trim_end_matches("::").to_owned()
}

/// What of a name fits: its end says more than its beginning.
fn shortened(name: &str, letters: usize) -> String {
    let count = name.chars().count();
    if count <= letters {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - (letters - 1)).collect();
    format!("…{end}")
}

/// A warm colour that a function has in every picture; those of one crate are alike.
fn colour(name: &str) -> String {
    let crate_name = name.trim_start_matches(['<', '&', ' ']).split("::").next().unwrap_or_default();
    let hash = |text: &str| text.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let hue = hash(crate_name) % 55;
    let lightness = 62 + hash(name) % 14;
    format!("hsl({hue} 85% {lightness}%)")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no other control characters.
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Widens the box that is clicked, with what is above and below it, and shows everything again after a double click.
const SCRIPT: &str = r#"<script type="text/javascript"><![CDATA[
(function () {
  var svg = document.currentScript ? document.currentScript.closest("svg") : document.documentElement;
  var boxes = Array.prototype.slice.call(svg.querySelectorAll("g"));
  function zoom(from, width) {
    boxes.forEach(function (box) {
      var x = +box.dataset.x, w = +box.dataset.w, scale = 1200 / width;
      var left = Math.max(x, from), right = Math.min(x + w, from + width);
      var shown = right - left > 0.001;
      box.style.display = shown ? "" : "none";
      if (!shown) { return; }
      var rect = box.querySelector("rect"), text = box.querySelector("text");
      rect.setAttribute("x", (left - from) * scale);
      rect.setAttribute("width", (right - left) * scale);
      text.setAttribute("x", (left - from) * scale + 2);
      var name = box.dataset.name;
      var letters = Math.floor(((right - left) * scale - 4) / 6.6);
      text.textContent = letters < 3 ? "" : name.length <= letters ? name : "\u2026" + name.slice(1 - letters);
    });
  }
  boxes.forEach(function (box) {
    box.style.cursor = "pointer";
    box.addEventListener("click", function () { zoom(+box.dataset.x, +box.dataset.w); });
  });
  svg.addEventListener("dblclick", function () { zoom(0, 1200); });
})();
]]></script>
"#;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{Line, Location, Sample};

    fn profile(stacks: &[(&str, &[&str], u64)]) -> Profile {
        let location = |name: &&str| Location {
            address: 0,
            lines: vec![Line { function: (*name).to_owned(), file: String::new(), line: 0 }],
        };
        let sample = |(thread, stack, count): &(&str, &[&str], u64)| Sample {
            thread: (*thread).to_owned(),
            stack: stack.iter().rev().map(location).collect(),
            count: *count,
        };
        let samples = stacks.iter().map(sample).collect();
        let (period, duration) = (Duration::from_millis(10), Duration::from_secs(1));
        Profile { began: UNIX_EPOCH, duration, period, samples, lost: 0 }
    }

    /// The boxes: name and share, and where each stands.
    fn boxes(svg: &str) -> Vec<(String, f64, f64)> {
        let of = |line: &str| {
            let number = |name: &str| line.split_once(name)?.1.split_once('"')?.0.parse().ok();
            let name = line.split_once("<title>")?.1.split_once(": ")?.0.to_owned();
            Some((name, number("data-x=\"")?, number("data-w=\"")?))
        };
        svg.lines().filter_map(of).collect()
    }

    #[test]
    fn a_function_is_as_wide_as_its_share_and_stands_on_its_caller() {
        let picture = svg(&profile(&[("main", &["a", "b"], 3), ("main", &["a", "c"], 1)]), "Server:Game:0");
        let expected = [("main", 0.0, 1200.0), ("a", 0.0, 1200.0), ("b", 0.0, 900.0), ("c", 900.0, 300.0)];
        let expected: Vec<_> = expected.into_iter().map(|(name, x, width)| (name.to_owned(), x, width)).collect();
        assert_eq!(boxes(&picture), expected);
        assert!(picture.contains("Server:Game:0: 4 samples in 1.0 s<"), "{picture}");
    }

    #[test]
    fn names_are_escaped_and_cut_at_their_beginning() {
        let name = "<alloc::vec::Vec<u8> as core::clone::Clone>::clone & \u{1b}more";
        let picture = svg(&profile(&[("t", &[name], 1)]), "<script>");
        assert!(!picture.contains("<alloc") && picture.contains("&lt;alloc::vec") && !picture.contains('\u{1b}'));
        assert!(picture.contains("&lt;script&gt;: 1 samples"));
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdef", 4), "…def");
        assert_eq!(shortened("äöüß", 3), "…üß");
    }

    #[test]
    fn a_box_shows_a_name_without_the_types_that_it_is_made_for() {
        for (name, plain) in [
            ("tokio::task::Core<a::B<C>, d::E>::poll", "tokio::task::Core::poll"),
            ("<a::B<C> as d::E<F>>::run", "<a::B as d::E>::run"),
            ("core::ops::call_once::<fn(u8) -> a::B<C>, ()>", "core::ops::call_once"),
            ("{closure#0}<a::B>", "{closure#0}"),
            ("__libc_send", "__libc_send"),
        ] {
            assert_eq!(without_generics(name), plain);
        }
    }

    #[test]
    fn what_nobody_could_see_is_left_out_and_nothing_is_a_picture_too() {
        let rare = svg(&profile(&[("t", &["often"], 100_000), ("t", &["rare"], 1)]), "x");
        assert!(!rare.contains("rare") && rare.contains("often"));
        assert!(svg(&profile(&[]), "x").contains("No CPU time was used"));
    }

    #[test]
    fn a_function_looks_alike_in_every_picture() {
        assert_eq!(colour("tokio::park"), colour("tokio::park"));
        assert_ne!(colour("tokio::park"), colour("pintail_game::step"));
    }
}
