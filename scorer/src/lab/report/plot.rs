//! Plots as SVG: axes and lines by the plotting crate, colours and dashes by the page's style sheet.
//!
//! The crate draws on whole units only, so a plot is drawn ten times as large and scaled down by its `viewBox`. It gives
//! elements their colour as an attribute; the style sheet selects by it, so that a plot follows the reader's light or dark
//! theme and needs no rewriting.

use std::ops::Range;

use maud::{Markup, PreEscaped, html};
use plotters::{
    backend::SVGBackend,
    chart::{ChartBuilder, ChartContext},
    coord::{cartesian::Cartesian2d, types::RangedCoordf64},
    drawing::{DrawingAreaErrorKind, IntoDrawingArea as _},
    element::{Circle, PathElement, Polygon, Text},
    series::LineSeries,
    style::{
        Color as _, IntoFont as _, RGBColor, TRANSPARENT, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{Figure, format::percent_tick};

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// Width and height, in tenths of a unit of the view.
pub(super) const SIZE: (u32, u32) = (4800, 3200);
/// The height of letters, in the same unit.
const FONT: f64 = 155.0;
/// The most points of a line: more than can be told apart at this size.
const MAX_POINTS: usize = 121;

const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// What a line or a bar stands for; the style sheet knows every colour here, and gives each its dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Series {
    /// A router, by its place; after eight the colours begin again.
    Router(usize),
    /// The random baseline.
    Random,
    /// The query-length baseline.
    Length,
    /// The oracle.
    Oracle,
    /// Queries whose small response is good enough.
    Good,
    /// The other queries.
    Poor,
    /// What was promised, or would be ideal.
    Reference,
}

impl Series {
    /// The colour in a light theme, by which the style sheet finds it. After Okabe and Ito (2008), darker where a thin line
    /// would be too pale.
    pub(super) fn color(self) -> RGBColor {
        match self {
            Self::Router(index) => match index % 8 {
                0 => RGBColor(0x00, 0x72, 0xb2),
                1 => RGBColor(0xc4, 0x4e, 0x00),
                2 => RGBColor(0x8a, 0x3f, 0xa0),
                3 => RGBColor(0x00, 0x7f, 0x5c),
                4 => RGBColor(0x8a, 0x6d, 0x00),
                5 => RGBColor(0xb0, 0x30, 0x60),
                6 => RGBColor(0x1f, 0x8a, 0x9e),
                _ => RGBColor(0x5b, 0x5b, 0xd6),
            },
            Self::Random => RGBColor(0x76, 0x76, 0x76),
            Self::Length => RGBColor(0x77, 0x77, 0x77),
            Self::Oracle => RGBColor(0x22, 0x22, 0x22),
            Self::Good => RGBColor(0x00, 0x72, 0xb3),
            Self::Poor => RGBColor(0xc4, 0x4e, 0x01),
            Self::Reference => RGBColor(0x78, 0x78, 0x78),
        }
    }
}

/// An axis.
pub(super) struct Axis {
    /// What it shows, with the unit.
    pub(super) name: &'static str,
    /// From where to where.
    pub(super) range: Range<f64>,
    /// How its numbers read.
    pub(super) format: fn(f64) -> String,
}

impl Axis {
    /// An axis of shares from 0 to 1, in percent.
    pub(super) fn share(name: &'static str) -> Self {
        Self { name, range: 0.0..1.0, format: percent_tick }
    }

    /// An axis that holds all the values, and has a width even where they are all the same.
    pub(super) fn around(name: &'static str, values: impl IntoIterator<Item = f64>, format: fn(f64) -> String) -> Self {
        let values = values.into_iter().filter(|value| drawable(*value));
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let width = (high - low).max(low.abs().max(high.abs()) * 1e-3).max(1e-6);
        let middle = f64::midpoint(low, high);
        Self { name, range: middle - width * 0.52..middle + width * 0.52, format }
    }

    /// The axis with more room above its highest value.
    pub(super) fn with_headroom(self, part: f64) -> Self {
        let Range { start, end } = self.range;
        Self { range: start..end + (end - start) * part, ..self }
    }

    /// How a place on the axis reads; what is no distance from zero at this scale is zero.
    fn tick(&self, value: f64) -> String {
        let width = self.range.end - self.range.start;
        (self.format)(if value.abs() < width * 1e-9 { 0.0 } else { value })
    }
}

/// Whether a number can be put on an axis; those beyond are measured wrongly, not large.
pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= 1e9
}

/// A part of a plot, drawn in the order given.
pub(super) enum Layer {
    /// A line through points by ascending x.
    Line(Series, Vec<(f64, f64)>),
    /// The area between a lower and an upper y, by ascending x.
    Band(Series, Vec<(f64, f64, f64)>),
    /// The outline of a histogram over [0, 1]: one height a bin.
    Steps(Series, Vec<f64>),
    /// Points at x, each with a line over its interval.
    Points(Series, Vec<(f64, Figure)>),
    /// A vertical line at x, named.
    Mark(Series, f64, String),
}

/// A plot.
pub(super) struct Plot {
    /// An identifier, unique in the page.
    pub(super) id: String,
    /// Its title, for those who cannot see it.
    pub(super) title: String,
    /// What is to be seen, for those who cannot see it.
    pub(super) description: String,
    /// The horizontal axis.
    pub(super) x: Axis,
    /// The vertical axis.
    pub(super) y: Axis,
    /// What is drawn.
    pub(super) layers: Vec<Layer>,
}

impl Plot {
    /// The plot as an `svg` element.
    pub(super) fn svg(&self) -> Markup {
        let mut drawn = String::new();
        let result = self.draw(&mut drawn);
        // The crate's own `svg` tag has a fixed size and no title.
        let elements = drawn.split_once('>').and_then(|(_, rest)| rest.rsplit_once("</svg>"));
        let (Ok(()), Some((elements, _))) = (result, elements) else {
            return html! { p { "This plot could not be drawn." } };
        };
        html! {
            svg.plot xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {} {}", SIZE.0, SIZE.1)) role="img"
                aria-labelledby=(format!("{0}-title {0}-desc", self.id)) {
                title id=(format!("{}-title", self.id)) { (self.title) }
                desc id=(format!("{}-desc", self.id)) { (self.description) }
                (PreEscaped(elements.trim().replace(" opacity=\"1\"", "").replace(" \"", "\"")))
            }
        }
    }

    fn draw(&self, target: &mut String) -> Result<(), DrawError> {
        let area = SVGBackend::with_string(target, SIZE).into_drawing_area();
        let (x, y) = (&self.x, &self.y);
        let mut chart = ChartBuilder::on(&area)
            .margin_top(120)
            .margin_right(200)
            .x_label_area_size(480)
            .y_label_area_size(640)
            .build_cartesian_2d(x.range.clone(), y.range.clone())?;
        let (x_text, y_text) = (|value: &f64| x.tick(*value), |value: &f64| y.tick(*value));
        let mut mesh = chart.configure_mesh();
        mesh.bold_line_style(GRID.stroke_width(8)).light_line_style(TRANSPARENT).axis_style(INK.stroke_width(12));
        mesh.label_style(font()).set_all_tick_mark_size(40).x_labels(7).y_labels(7);
        mesh.x_label_formatter(&x_text).y_label_formatter(&y_text).x_desc(x.name).y_desc(y.name).draw()?;
        for layer in &self.layers {
            self.draw_layer(&mut chart, layer)?;
        }
        area.present()
    }

    fn draw_layer(&self, chart: &mut Chart<'_, '_>, layer: &Layer) -> Result<(), DrawError> {
        match layer {
            Layer::Line(series, points) => {
                let points = self.inside(points.iter().copied());
                chart.draw_series(LineSeries::new(thin(points), series.color().stroke_width(22)))?;
            }
            Layer::Band(series, points) => {
                let points = thin(points.clone());
                let there = points.iter().map(|(x, low, _)| (*x, *low));
                let back = points.iter().rev().map(|(x, _, high)| (*x, *high));
                area(chart, *series, self.inside(there.chain(back)))?;
            }
            Layer::Steps(series, heights) => {
                let bins = heights.len() as f64;
                let edges = heights
                    .iter()
                    .zip(0_u32..)
                    .flat_map(|(height, bin)| [(f64::from(bin) / bins, *height), (f64::from(bin + 1) / bins, *height)]);
                let outline = self.inside([(0.0, 0.0)].into_iter().chain(edges).chain([(1.0, 0.0)]));
                area(chart, *series, outline.clone())?;
                chart.draw_series([PathElement::new(outline, series.color().stroke_width(22))])?;
            }
            Layer::Points(series, points) => {
                for (x, figure) in points {
                    let whisker = self.inside([(*x, figure.low), (*x, figure.high)]);
                    chart.draw_series([PathElement::new(whisker, series.color().stroke_width(18))])?;
                    let dot = self.inside([(*x, figure.value)]).into_iter();
                    chart.draw_series(dot.map(|dot| Circle::new(dot, 45, series.color().filled())))?;
                }
            }
            Layer::Mark(series, at, name) => self.draw_mark(chart, *series, *at, name)?,
        }
        Ok(())
    }

    fn draw_mark(&self, chart: &mut Chart<'_, '_>, series: Series, at: f64, name: &str) -> Result<(), DrawError> {
        let (x, y) = (&self.x.range, &self.y.range);
        let line = self.inside([(at, y.start), (at, y.end)]);
        // The name stands on the side that has room.
        let (side, name) = if at > f64::midpoint(x.start, x.end) {
            (HPos::Right, format!("{name}\u{a0}"))
        } else {
            (HPos::Left, format!("\u{a0}{name}"))
        };
        let label = line.last().map(|end| Text::new(name, *end, font().pos(Pos::new(side, VPos::Top))));
        chart.draw_series([PathElement::new(line, series.color().stroke_width(18))])?;
        chart.draw_series(label)?;
        Ok(())
    }

    /// The points that can be drawn, those outside the plot at the nearest place in it.
    fn inside(&self, points: impl IntoIterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
        let (x, y) = (&self.x.range, &self.y.range);
        let points = points.into_iter().filter(|point| drawable(point.0) && drawable(point.1));
        points.map(|point| (point.0.clamp(x.start, x.end), point.1.clamp(y.start, y.end))).collect()
    }
}

fn area(chart: &mut Chart<'_, '_>, series: Series, outline: Vec<(f64, f64)>) -> Result<(), DrawError> {
    let outline = Some(outline).filter(|outline| !outline.is_empty());
    chart.draw_series(outline.map(|outline| Polygon::new(outline, series.color().mix(0.16))))?;
    Ok(())
}

fn font() -> TextStyle<'static> {
    // The crate divides the size by 1.24.
    ("sans-serif", FONT * 1.24).into_font().color(&INK)
}

/// No more than [`MAX_POINTS`] of the points, evenly, with the first and the last.
fn thin<T: Copy>(points: Vec<T>) -> Vec<T> {
    if points.len() <= MAX_POINTS {
        return points;
    }
    let last = points.len() - 1;
    (0..MAX_POINTS).filter_map(|index| points.get(index * last / (MAX_POINTS - 1)).copied()).collect()
}

/// A legend's entries, each with the line that the plot shows.
pub(super) fn legend(entries: &[(Series, String)]) -> Markup {
    html! {
        ul.legend {
            @for (series, name) in entries { li { (swatch(*series)) " " (name) } }
        }
    }
}

/// A piece of a series' line.
pub(super) fn swatch(series: Series) -> Markup {
    html! {
        svg.swatch xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 120" aria-hidden="true" {
            line x1="0" y1="60" x2="360" y2="60" stroke=(hex(series.color())) stroke-width="22" {}
        }
    }
}

/// A colour as the style sheet finds it.
pub(super) fn hex(color: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plot(x: Axis, y: Axis, layers: Vec<Layer>) -> Plot {
        Plot { id: "p".to_owned(), title: "T".to_owned(), description: "D".to_owned(), x, y, layers }
    }

    /// Every coordinate of the elements, x and y.
    fn coordinates(svg: &str) -> Vec<(f64, f64)> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let number =
            |node: roxmltree::Node<'_, '_>, key: &str| node.attribute(key).map(|text| text.parse::<f64>().unwrap());
        let mut found = Vec::new();
        for node in document.descendants() {
            for (x, y) in [("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")] {
                found.extend(number(node, x).zip(number(node, y)));
            }
            for pair in node.attribute("points").unwrap_or_default().split_whitespace() {
                let (x, y) = pair.split_once(',').unwrap();
                found.push((x.parse().unwrap(), y.parse().unwrap()));
            }
        }
        found
    }

    fn wild() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1.0..2.0_f64,
            1 => prop::num::f64::ANY,
            1 => Just(0.0),
            1 => Just(f64::NAN),
            1 => Just(1e9),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_is_inside_the_view(
            values in proptest::collection::vec((wild(), wild(), wild()), 0..200),
            mark in wild(),
        ) {
            let line: Vec<_> = values.iter().map(|row| (row.0, row.1)).collect();
            let layers = vec![
                Layer::Band(Series::Router(0), values.clone()),
                Layer::Line(Series::Router(0), line),
                Layer::Points(Series::Good, values.iter().map(|row| (row.0, Figure { value: row.1, low: row.1, high: row.2 })).collect()),
                Layer::Steps(Series::Poor, values.iter().map(|row| row.1).collect()),
                Layer::Mark(Series::Reference, mark, "t*".to_owned()),
            ];
            let y = Axis::around("y", values.iter().map(|row| row.1), |value| value.to_string());
            let svg = plot(Axis::share("x"), y, layers).svg().into_string();
            for (x, y) in coordinates(&svg) {
                prop_assert!((0.0..=f64::from(SIZE.0)).contains(&x), "{x}: {svg}");
                prop_assert!((0.0..=f64::from(SIZE.1)).contains(&y), "{y}: {svg}");
            }
        }

        #[test]
        fn thinned_points_keep_both_ends_and_their_order(n in 1_usize..1000) {
            let kept = thin((0..n).collect());
            prop_assert!(kept.len() <= MAX_POINTS);
            prop_assert_eq!((kept.first(), kept.last()), (Some(&0), Some(&(n - 1))));
            prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_line_runs_from_corner_to_corner() {
        let line = vec![(0.0, 0.0), (1.0, 1.0)];
        let svg =
            plot(Axis::share("x"), Axis::share("y"), vec![Layer::Line(Series::Router(0), line)]).svg().into_string();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let stroke = hex(Series::Router(0).color());
        let lines: Vec<_> = document.descendants().filter(|node| node.attribute("stroke") == Some(&stroke)).collect();
        let [line] = lines.as_slice() else { panic!("one line: {svg}") };
        assert_eq!(line.attribute("points"), Some("640,2719 4599,120"));
    }

    #[test]
    fn texts_are_escaped() {
        let mark = Layer::Mark(Series::Reference, 0.5, "<script>".to_owned());
        let mut plot = plot(Axis::share("x"), Axis::share("y"), vec![mark]);
        plot.title = "<script>".to_owned();
        let svg = plot.svg().into_string();
        assert!(!svg.contains("<script>") && svg.matches("&lt;script&gt;").count() == 2, "{svg}");
    }

    #[test]
    fn every_series_has_a_colour_of_its_own_in_the_style_sheet() {
        let series = (0..8).map(Series::Router);
        let others =
            [Series::Random, Series::Length, Series::Oracle, Series::Good, Series::Poor, Series::Reference].into_iter();
        let colors: std::collections::BTreeSet<_> = series.chain(others).map(|series| hex(series.color())).collect();
        assert_eq!(colors.len(), 14);
        let style = include_str!("style.css");
        for color in colors.iter().map(String::as_str).chain(["#333333", "#DDDDDD"]) {
            assert!(style.contains(&format!("\"{color}\"")), "{color} has no theme");
        }
    }
}
