//! How cost grows with the policy, for people and for machines: a table, JSON, four panels of
//! curves.

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Color as _, GREEN, IntoDrawingArea as _, IntoLogRange as _,
    LineSeries, PathElement, RED, RGBColor, SVGBackend, WHITE,
};

use super::{Machine, PlotError, put, shown};
use crate::scale::{PolicyFigures, Row, StoreFigures};

/// The size of the plot, in pixels.
const SIZE: (u32, u32) = (1_200, 900);

const GRAY: RGBColor = RGBColor(120, 120, 120);

/// A run over all sizes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ScaleReport {
    /// Where.
    pub machine: Machine,
    /// The caches of a core: where curves may bend.
    pub caches: String,
    /// The seed.
    pub seed: u64,
    /// How many rounds.
    pub rounds: usize,
    /// A row for each size.
    pub rows: Vec<Row>,
}

/// A column of the table, or a line of a panel: what it is called, its colour, and its value.
type Figure = (&'static str, RGBColor, fn(&Row) -> Option<f64>);

/// A panel: what it shows, and its lines.
type Panel = (&'static str, &'static [Figure]);

const PANELS: [Panel; 4] = [
    (
        "a check, ns",
        &[
            ("in cache", GREEN, |row| policy(row, |it| Some(it.hot_ns))),
            ("cold", BLUE, |row| policy(row, |it| Some(it.cold_ns))),
            ("one miss", GRAY, |row| policy(row, |it| Some(it.miss_ns))),
        ],
    ),
    (
        "building, us an assignment",
        &[
            ("compile", BLUE, |row| each(row, policy(row, |it| Some(it.compile_ms * 1e3)))),
            ("validate", GREEN, |row| each(row, policy(row, |it| Some(it.validate_ms * 1e3)))),
            ("write", RED, |row| each(row, store(row, |it| it.write_ms * 1e3))),
        ],
    ),
    (
        "memory, bytes an assignment",
        &[
            ("facts", GREEN, |row| each(row, policy(row, |it| bytes(it.facts_bytes)))),
            ("snapshot", BLUE, |row| each(row, policy(row, |it| bytes(it.snapshot_bytes)))),
            ("server", RED, |row| each(row, row.start(|it| bytes(it.ready_bytes)))),
            ("file", GRAY, |row| each(row, store(row, |it| it.file_bytes as f64))),
        ],
    ),
    (
        "start, us an assignment",
        &[
            ("to ready", BLUE, |row| each(row, row.start(|it| Some(it.ready_ms * 1e3)))),
            ("flat read", GRAY, |row| each(row, row.start(|it| Some(it.read_ms * 1e3)))),
        ],
    ),
];

/// What the table has besides: whole figures.
const WHOLE: [Figure; 5] = [
    ("compile, ms", BLACK, |row| policy(row, |it| Some(it.compile_ms))),
    ("write, ms", BLACK, |row| store(row, |it| it.write_ms)),
    ("file, MiB", BLACK, |row| store(row, |it| it.file_bytes as f64 / MIB)),
    ("to ready, ms", BLACK, |row| row.start(|it| Some(it.ready_ms))),
    ("server, MiB", BLACK, |row| row.start(|it| Some(bytes(it.ready_bytes)? / MIB))),
];

const MIB: f64 = 1_048_576.0;

fn policy(row: &Row, figure: fn(&PolicyFigures) -> Option<f64>) -> Option<f64> {
    row.policy.as_ref().and_then(figure)
}

fn store(row: &Row, figure: fn(&StoreFigures) -> f64) -> Option<f64> {
    row.store.as_ref().map(figure)
}

fn each(row: &Row, whole: Option<f64>) -> Option<f64> {
    Some(whole? / row.assignments.max(1) as f64)
}

fn bytes(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64)
}

// === impl ScaleReport ===

impl ScaleReport {
    /// A column a size, a line a figure.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { machine, caches, seed, rounds, rows } = self;
        let mut out = format!("{}\n", machine.text());
        put(
            &mut out,
            format_args!("caches of a core: {caches}; seed {seed}, medians of {rounds}\n"),
        );
        let cells = |cell: &dyn Fn(&Row) -> String| -> String {
            rows.iter().map(|row| format!("{:>12}", cell(row))).collect()
        };
        let line = |out: &mut String, name: &str, cell: &dyn Fn(&Row) -> String| {
            put(out, format_args!("{name:<40}{}", cells(cell)));
        };
        line(&mut out, "assignments", &|row| row.assignments.to_string());
        let facts = |row: &Row| row.policy.map_or("-".to_owned(), |it| it.facts.to_string());
        line(&mut out, "facts", &facts);
        let value = |figure: fn(&Row) -> Option<f64>| {
            move |row: &Row| figure(row).map_or("-".to_owned(), shown)
        };
        for (title, figures) in PANELS {
            for (name, _, figure) in figures {
                line(&mut out, &format!("{title}: {name}"), &value(*figure));
            }
        }
        for (name, _, figure) in WHOLE {
            line(&mut out, name, &value(figure));
        }
        for why in rows.iter().filter_map(|row| row.missing.as_ref()) {
            put(&mut out, format_args!("\n{why}"));
        }
        out
    }
}

/// Four panels of curves over the number of assignments, both axes logarithmic: what grows as the
/// policy does is level, and where it is not, a curve bends.
///
/// # Errors
/// [`PlotError`] if fewer than two sizes were measured.
pub fn plot_scale(report: &ScaleReport) -> Result<String, PlotError> {
    let measured = report.rows.iter().filter(|row| row.policy.is_some());
    let rows: Vec<&Row> = measured.collect();
    if rows.len() < 2 {
        return Err(PlotError::TooFew);
    }
    let mut svg = String::new();
    draw(&mut svg, report, &rows).map_err(|error| PlotError::Draw(error.to_string()))?;
    Ok(svg)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(svg: &mut String, report: &ScaleReport, rows: &[&Row]) -> Drawn {
    let told = |error: &dyn std::error::Error| error.to_string();
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| told(&error))?;
    let title = format!("cost by size; {}", report.machine.text());
    let area = area.titled(&title, ("sans-serif", 16)).map_err(|error| told(&error))?;
    for (panel, part) in PANELS.iter().zip(area.split_evenly((2, 2))) {
        draw_panel(&part, panel, rows)?;
    }
    area.present().map_err(|error| told(&error))?;
    Ok(())
}

fn draw_panel(
    area: &plotters::drawing::DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    (title, figures): &Panel,
    rows: &[&Row],
) -> Drawn {
    let told = |error: &dyn std::error::Error| error.to_string();
    let points = |figure: fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let point = |row: &&Row| Some((row.assignments as f64, figure(row)?.max(1e-3)));
        rows.iter().filter_map(point).collect()
    };
    let all: Vec<(f64, f64)> = figures.iter().flat_map(|(_, _, figure)| points(*figure)).collect();
    if all.is_empty() {
        return Ok(());
    }
    let span = |of: fn(&(f64, f64)) -> f64, room: f64| {
        let least = all.iter().map(of).fold(f64::MAX, f64::min);
        let most = all.iter().map(of).fold(f64::MIN, f64::max);
        (least / room..most * room).log_scale()
    };
    let mut chart = ChartBuilder::on(area)
        .caption(*title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(span(|it| it.0, 1.1), span(|it| it.1, 1.5))
        .map_err(|error| told(&error))?;
    chart.configure_mesh().x_desc("assignments").draw().map_err(|error| told(&error))?;
    for (name, color, figure) in *figures {
        let line = LineSeries::new(points(*figure), color.stroke_width(2)).point_size(3);
        let color = *color;
        chart
            .draw_series(line)
            .map_err(|error| told(&error))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(|error| told(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::StartFigures;

    fn row(assignments: u64, missing: Option<&str>) -> Row {
        let figures = PolicyFigures { cold_ns: 700.0, compile_ms: 2.0, ..Default::default() };
        let policy = missing.is_none().then_some(figures);
        let starts = vec![StartFigures { ready_ms: 5.0, ..Default::default() }];
        let missing = missing.map(str::to_owned);
        Row { assignments, policy, store: None, starts, missing }
    }

    #[test]
    fn every_figure_has_a_line_and_what_is_missing_its_reason() {
        let rows = vec![row(1_000, None), row(2_000, None), row(5_000, Some("too large"))];
        let (machine, caches) = (Machine::this(), "L1 32K".to_owned());
        let report = ScaleReport { machine, caches, seed: 1, rounds: 5, rows };
        let text = report.text();
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        let cells = |name: &str| line(name).split_whitespace().rev().take(3).collect::<Vec<_>>();
        assert_eq!(cells("a check, ns: cold"), ["-", "700", "700"]);
        assert_eq!(cells("building, us an assignment: compile"), ["-", "1.00", "2.00"]);
        assert!(text.ends_with("too large\n"), "{text}");
        let svg = plot_scale(&report).unwrap();
        assert!(svg.starts_with("<svg"), "{svg}");
        // What was not measured anywhere has no panel.
        let drawn = PANELS.map(|(title, _)| svg.contains(title));
        assert_eq!(drawn, [true, true, false, true]);
        let one = ScaleReport { rows: vec![row(1, None)], ..report };
        assert!(matches!(plot_scale(&one), Err(PlotError::TooFew)));
    }
}
