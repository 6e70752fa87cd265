"""What every page about one ModelDeployment is made from."""

from dataclasses import dataclass
from datetime import datetime

from millgate.cli.text import Style
from millgate.cli.view import View


@dataclass(frozen=True)
class Page:
    """What a page is made from. `flags` are repeated in the commands that it suggests, such as '--context test'."""

    view: View
    now: datetime
    style: Style
    flags: str = ""

    def command(self, verb: str) -> str:
        flags = f" {self.flags}" if self.flags else ""
        return f"kubectl millgate {verb} {self.view.name} -n {self.view.namespace}{flags}"
