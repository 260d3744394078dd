//! A chart as inline SVG, with its title and legend as HTML around it. Colours come from the page's style sheet, so that
//! they suit a light and a dark page; values are shown where the mouse is.

use std::fmt::Write;

use super::axis::{Axis, Scale};
use super::markup::escape;

/// A chart of lines and marks over two axes.
pub(super) struct Chart {
    pub(super) title: String,
    /// What the chart shows, for those who can't see it.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    pub(super) marks: Vec<Mark>,
    /// Values of x in their order, and what is shown there.
    pub(super) hints: Vec<(f64, String)>,
}

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: Colour,
    pub(super) look: Look,
    /// Points from left to right. Where there was no value, the line is interrupted.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// One of the style sheet's colours for lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(pub(super) usize);

/// How many the style sheet has.
const COLOURS: usize = 8;

impl Colour {
    fn class(self) -> String {
        format!("c{}", self.0 % COLOURS)
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Line,
    Dashed,
    /// With the area below it filled.
    Filled,
}

/// A single value.
pub(super) struct Mark {
    pub(super) at: (f64, f64),
    pub(super) kind: MarkKind,
    pub(super) hint: String,
}

/// How a mark is drawn: by shape as well as colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkKind {
    Good,
    Bad,
}

/// The size of the picture, in its own units, and of what surrounds its plot.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

impl Chart {
    /// The chart as a figure.
    pub(super) fn figure(&self) -> String {
        let mut html = format!("<figure>\n<figcaption>{}{}</figcaption>\n", escape(&self.title), self.scale_note());
        html += &self.legend();
        writeln!(
            html,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n{}{}{}{}</svg>",
            escape(&format!("{}. {}", self.title, self.description)),
            self.grid(),
            self.paths(),
            self.marked(),
            self.hits(),
        )
        .expect("a string can be written");
        html + "</figure>\n"
    }

    fn scale_note(&self) -> &'static str {
        match self.y.scale() {
            Scale::Linear => "",
            Scale::Logarithmic => " <small>logarithmic</small>",
        }
    }

    fn legend(&self) -> String {
        let mut html = String::from("<ul class=\"legend\">");
        for line in &self.lines {
            let look = if line.look == Look::Dashed { " dashed" } else { "" };
            write!(html, "<li class=\"{}{look}\">{}</li>", line.colour.class(), escape(&line.name))
                .expect("a string can be written");
        }
        if self.lines.is_empty() { String::new() } else { html + "</ul>\n" }
    }

    fn grid(&self) -> String {
        let mut svg = String::new();
        for (value, name) in &self.y.ticks {
            let y = self.y_of(*value);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"y\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                escape(name)
            )
            .expect("a string can be written");
        }
        let bottom = HEIGHT - BOTTOM;
        for (value, name) in &self.x.ticks {
            let x = self.x_of(*value);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" class=\"x\">{}</text>",
                bottom + 4.0,
                bottom + 20.0,
                escape(name)
            )
            .expect("a string can be written");
        }
        svg
    }

    fn paths(&self) -> String {
        let mut svg = String::new();
        for line in &self.lines {
            for piece in line.points.split(|(_, y)| y.is_none()).filter(|piece| !piece.is_empty()) {
                svg += &self.path(line, piece);
            }
        }
        svg
    }

    /// A piece of a line without interruption.
    fn path(&self, line: &Line, piece: &[(f64, Option<f64>)]) -> String {
        let places: Vec<(f64, f64)> = piece.iter().filter_map(|&(x, y)| Some((self.x_of(x), self.y_of(y?)))).collect();
        let mut course = String::new();
        for (index, (x, y)) in places.iter().enumerate() {
            write!(course, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" }).expect("a string can be written");
        }
        let (Some((first, _)), Some((last, _))) = (places.first(), places.last()) else { return String::new() };
        let colour = line.colour.class();
        let mut svg = String::new();
        if line.look == Look::Filled {
            let bottom = HEIGHT - BOTTOM;
            svg = format!("<path class=\"area {colour}\" d=\"{course}L{last:.1} {bottom}L{first:.1} {bottom}Z\"/>\n");
        }
        // A lone point is a line of no length, which round ends make a dot.
        let dot = if places.len() == 1 { "h0" } else { "" };
        let look = if line.look == Look::Dashed { " dashed" } else { "" };
        svg + &format!("<path class=\"line {colour}{look}\" d=\"{course}{dot}\"/>\n")
    }

    fn marked(&self) -> String {
        let mut svg = String::new();
        for mark in &self.marks {
            let (x, y) = (self.x_of(mark.at.0), self.y_of(mark.at.1));
            let (class, shape) = match mark.kind {
                MarkKind::Good => ("good", format!("M{:.1} {y:.1}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0", x - 6.0)),
                MarkKind::Bad => ("bad", format!("M{:.1} {:.1}l10 10m0 -10l-10 10", x - 5.0, y - 5.0)),
            };
            writeln!(svg, "<g class=\"mark {class}\"><title>{}</title><path d=\"{shape}\"/></g>", escape(&mark.hint))
                .expect("a string can be written");
        }
        svg
    }

    /// Invisible bars, each as wide as what is nearest to one value of x, that show the values there.
    fn hits(&self) -> String {
        let places: Vec<f64> = self.hints.iter().map(|(x, _)| self.x_of(*x)).collect();
        let mut svg = String::new();
        for (index, (_, hint)) in self.hints.iter().enumerate() {
            let left = index.checked_sub(1).map_or(LEFT, |before| f64::midpoint(places[before], places[index]));
            let right = places.get(index + 1).map_or(WIDTH - RIGHT, |after| f64::midpoint(*after, places[index]));
            writeln!(
                svg,
                "<g class=\"hit\"><title>{}</title><rect x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"/>\
                 <path d=\"M{:.1} {TOP}V{}\"/></g>",
                escape(hint),
                (right - left).max(0.0),
                HEIGHT - BOTTOM - TOP,
                places[index],
                HEIGHT - BOTTOM
            )
            .expect("a string can be written");
        }
        svg
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::format::{number, span};
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>) -> String {
        Chart {
            title: "A < B".into(),
            description: String::new(),
            x: Axis::of_time(4.0, span),
            y: Axis::from_zero(10.0, 1.0, number),
            hints: points.iter().map(|(x, _)| (*x, "\"here\"".into())).collect(),
            lines: vec![Line { name: "a".into(), colour: Colour(9), look: Look::Filled, points }],
            marks: vec![Mark { at: (1.0, 5.0), kind: MarkKind::Bad, hint: "<".into() }],
        }
        .figure()
    }

    #[test]
    fn a_line_is_interrupted_where_there_is_no_value() {
        let svg = chart(vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(3.0))]);
        assert_eq!(svg.matches("class=\"line c1\"").count(), 2);
        assert!(svg.contains("h0"), "a lone point is a dot");
        assert_eq!(svg.matches("&quot;here&quot;").count(), 4);
    }

    #[test]
    fn nothing_to_draw_is_an_empty_chart() {
        assert_eq!(chart(Vec::new()).matches("class=\"line").count(), 0);
        assert!(chart(Vec::new()).contains("A &lt; B"));
    }
}
