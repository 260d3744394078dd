//! HTML that is well-formed XML too, so that a test can read it. Everything that isn't markup of ours is escaped here.

use std::fmt::Write;

/// Text for content and for attributes in double quotes. What neither XML nor a reader knows (control characters) is
/// left out.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            _ if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {}
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A section under a heading; nothing if there is nothing in it.
pub(super) fn section(title: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escape(title))
}

/// A table with a name in the first cell of each row; nothing if there are no rows. Where there isn't room for all of it,
/// it scrolls by itself, with the keyboard too.
pub(super) fn table(name: &str, headings: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let name = escape(name);
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\">\n<table>\n\
         <caption>{name}</caption>\n<thead><tr>"
    );
    for heading in headings {
        write_cell(&mut html, "th scope=\"col\"", "th", heading);
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            if column == 0 {
                write_cell(&mut html, "th scope=\"row\"", "th", cell);
            } else {
                write_cell(&mut html, "td", "td", cell);
            }
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    html
}

fn write_cell(html: &mut String, open: &str, close: &str, text: &str) {
    write!(html, "<{open}>{}</{close}>", escape(text)).expect("a string can be written");
}

/// Names and what they stand for.
pub(super) fn definitions(entries: &[(&str, String)]) -> String {
    let mut html = String::from("<dl class=\"facts\">\n");
    for (name, value) in entries.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value)).expect("a string can be written");
    }
    html + "</dl>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_written_is_markup() {
        assert_eq!(escape("a<b> & \"c\" 'd'\u{1b}[2J\n"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;[2J\n");
    }

    #[test]
    fn what_is_empty_has_no_heading() {
        assert_eq!(section("Errors", &table("Errors", &["", "times"], &[])), "");
    }
}
