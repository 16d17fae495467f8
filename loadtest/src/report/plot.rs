//! Lines over time, as SVG.

use std::fmt::Write;

use super::html::escaped;

/// A plot of some lines on one scale.
#[derive(Debug, Clone)]
pub(super) struct Plot {
    title: &'static str,
    unit: &'static str,
    lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 200.0;
/// Room for the numbers at the left and below.
const LEFT: f64 = 48.0;
const BELOW: f64 = 20.0;
const ABOVE: f64 = 10.0;
const COLOURS: [&str; 3] = ["#2f81f7", "#db6d28", "#8957e5"];

impl Plot {
    pub(super) const fn new(title: &'static str, unit: &'static str) -> Self {
        Self { title, unit, lines: Vec::new() }
    }

    /// With one more line, unless there are no points for it.
    pub(super) fn line(mut self, name: &'static str, points: Vec<(f64, f64)>) -> Self {
        if !points.is_empty() {
            self.lines.push((name, points));
        }
        self
    }

    /// The drawing; `None` without a line.
    pub(super) fn svg(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let longest = points().map(|(at, _)| *at).reduce(f64::max)?;
        let highest = round_up(points().map(|(_, value)| *value).fold(0.0, f64::max));
        let x = |at: f64| LEFT + (WIDTH - LEFT) * at / longest.max(1e-9);
        let y = |value: f64| HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * value / highest;

        let mut svg = format!("<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\">");
        for step in 0..=4 {
            let value = highest * f64::from(step) / 4.0;
            let (at, label) = (y(value), LEFT - 6.0);
            let _ = write!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
            let _ =
                write!(svg, "<text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", at + 4.0, short(value));
        }
        for (at, anchor) in [(0.0, "start"), (longest / 2.0, "middle"), (longest, "end")] {
            let (x, y) = (x(at), HEIGHT - 4.0);
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{} s</text>", short(at));
        }
        let mut legend = String::new();
        for ((name, points), colour) in self.lines.iter().zip(COLOURS) {
            let points: Vec<String> =
                points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
            let points = points.join(" ");
            let _ =
                write!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{points}\"/>");
            let _ = write!(legend, " <span style=\"color:{colour}\">{}</span>", escaped(name));
        }
        let unit = if self.unit.is_empty() { String::new() } else { format!(", {}", self.unit) };
        let _ = writeln!(svg, "</svg><figcaption>{}{unit}:{legend}</figcaption></figure>", escaped(self.title));
        Some(svg)
    }
}

/// The next of 1, 2, 4, 5 and 10 times a power of ten, so that quarters of it are easy to read.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    let text = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_above_all_values() {
        for (value, top) in [(0.0, 1.0), (0.03, 0.04), (7.0, 10.0), (41.0, 50.0), (100.0, 100.0), (1_234.0, 2_000.0)] {
            assert!((round_up(value) / top - 1.0).abs() < 1e-9, "{value} is plotted up to {}", round_up(value));
        }
    }

    #[test]
    fn nothing_to_plot_is_no_plot() {
        assert!(Plot::new("empty", "ms").line("none", Vec::new()).svg().is_none());
    }

    #[test]
    fn points_lie_inside_the_drawing() {
        let svg = Plot::new("full", "").line("all", vec![(0.0, 0.0), (10.0, 100.0)]).svg().unwrap();
        assert!(svg.contains("points=\"48.0,180.0 480.0,10.0\""), "{svg}");
    }
}
