"""Section on calibration: expected calibration error and temperature of each exit."""

from surrogate_nas.report.contents import Contents
from surrogate_nas.report.text import entry, escape, exit_name, html_table, paragraph, percent, section

COLUMNS = ("network", "exit", "test calibration error", "temperature, fitted on tune", "test calibration error with it")


def calibration_section(contents: Contents) -> str:
    """Section on the networks of the front; empty without a front, or above 20 classes."""
    rows = []
    for network, exits in contents.calibration:
        for c in exits:
            cells = [
                escape(network),
                exit_name(c.position, contents.positions - 1),
                percent(c.error),
                f"{c.temperature:.2f}",
                percent(c.error_with_temperature),
            ]
            rows.append(entry(cells))
    if not rows:
        return ""
    note = (
        "Expected calibration error of each exit's largest softmax probability on test: its average distance from the "
        "share of right answers. A temperature, fitted on tune, divides the logits; it changes confidences, but no "
        "answers. Thresholds apply to confidences with temperatures if the settings have temperature: true."
    )
    return section("Calibration of exits", paragraph(note, "note"), html_table("Calibration of exits", COLUMNS, rows))
