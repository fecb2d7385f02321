//! Bars, as SVG within the page.

use maud::{Markup, html};

/// The drawing's own measures; the page stretches it.
const WIDTH: u32 = 720;
const HEIGHT: u32 = 200;
const BOTTOM: u32 = 26;
const LEFT: u32 = 60;

/// What is piled up in each bar.
pub struct Series {
    /// What it is, and the class that gives its colour.
    pub name: &'static str,
    pub values: Vec<i64>,
}

/// Bars with their scale; `labels` name them, every few are written out.
pub fn bars(title: &str, labels: &[String], series: &[Series]) -> Markup {
    let totals: Vec<i64> = (0..labels.len()).map(|at| series.iter().map(|it| it.values[at]).sum()).collect();
    let top = round_up_to_nice(totals.iter().copied().max().unwrap_or(0));
    let count = u32::try_from(labels.len().max(1)).unwrap_or(1);
    let step = (WIDTH - LEFT) / count;
    let all: i64 = totals.iter().sum();
    html! {
        figure {
            figcaption {
                (title) " "
                @if series.len() > 1 {
                    span.legend {
                        @for it in series { span.key { span class={ "swatch " (it.name) } {} (it.name) } }
                    }
                }
            }
            svg viewBox={ "0 -8 " (WIDTH + 12) " " (HEIGHT + 8) } role="img" aria-label={ (title) ": " (all) " in all" } {
                @for (value, y) in [(top, 8), (top / 2, u32::midpoint(8, HEIGHT - BOTTOM)), (0, HEIGHT - BOTTOM)] {
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                    text.scale x=(LEFT - 6) y=(y + 6) text-anchor="end" { (value) }
                }
                @for (at, label) in labels.iter().enumerate() {
                    @let x = LEFT + step * u32::try_from(at).unwrap_or(0);
                    g {
                        title { (label) ": " (totals[at]) }
                        @for (class, y, height) in stack(series, at, top) {
                            rect class=(class) x=(x + 2) y=(y) width=(step.saturating_sub(4)) height=(height) {}
                        }
                    }
                    @if at % 4 == 3 {
                        text.scale x=(x + step / 2) y=(HEIGHT - 7) text-anchor="middle" { (label) }
                    }
                }
            }
        }
    }
}

/// The pieces of one bar, from the bottom: class, top edge, height.
fn stack(series: &[Series], at: usize, top: i64) -> Vec<(&'static str, u32, u32)> {
    let room = i64::from(HEIGHT - BOTTOM - 8);
    let mut below = 0;
    let mut pieces = Vec::new();
    for it in series.iter().filter(|it| it.values[at] > 0) {
        let edge = |value: i64| u32::try_from(room * value / top.max(1)).unwrap_or(0);
        let (from, to) = (edge(below), edge(below + it.values[at]));
        below += it.values[at];
        // A piece too small to be drawn to scale is still there.
        let height = (to - from).max(1);
        pieces.push((it.name, (HEIGHT - BOTTOM).saturating_sub(from + height), height));
    }
    pieces
}

/// The next round number: 2, 4, 6 or 10 of some power of ten, so that its half is round too.
fn round_up_to_nice(value: i64) -> i64 {
    let mut power = 1;
    loop {
        for step in [2, 4, 6, 10] {
            if step * power >= value {
                return step * power;
            }
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_on_a_round_number_that_is_no_smaller_than_what_it_shows() {
        for (value, top) in [(0, 2), (1, 2), (3, 4), (7, 10), (10, 10), (11, 20), (451, 600), (1001, 2000)] {
            assert_eq!(round_up_to_nice(value), top, "{value}");
        }
    }

    #[test]
    fn pieces_are_piled_up_from_the_bottom_within_the_drawing() {
        let series = [
            Series { name: "a", values: vec![50] },
            Series { name: "b", values: vec![50] },
            Series { name: "c", values: vec![0] },
        ];
        // 166 of the drawing's 200 are for bars.
        assert_eq!(stack(&series, 0, 100), [("a", 91, 83), ("b", 8, 83)]);
        assert_eq!(stack(&series, 0, 1_000_000), [("a", 173, 1), ("b", 173, 1)]);
    }
}
