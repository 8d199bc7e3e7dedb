"""What the README shows is what happens."""

import doctest
from pathlib import Path

from served import Served

README = Path(__file__).parents[1] / "README.md"


def test_the_readme(server: Served) -> None:
    text = README.read_text().replace("127.0.0.1:50051", server.target).replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, README.name, str(README), 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
    assert runner.tries > 20
