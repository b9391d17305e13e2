"""The section on calibration: expected calibration error and temperature of each exit."""

from surrogate_nas.report.contents import Contents
from surrogate_nas.report.text import entry, escape, exit_name, html_table, paragraph, percent, section

COLUMNS = ("network", "exit", "test calibration error", "temperature, fitted on tune", "test calibration error with it")


def calibration_section(contents: Contents) -> str:
    """Calibration errors of the networks of the front; nothing without a front, or above 20 classes."""
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
        "Expected calibration error of each exit's largest softmax probability on test: how far, on average, it is "
        "from the share of answers that are right. A temperature, fitted on tune, divides the logits; it changes no "
        "answer, only how sure it sounds. Thresholds are used with it where the settings say temperature: true."
    )
    return section("How sure exits are", paragraph(note, "note"), html_table("Calibration of exits", COLUMNS, rows))
