"""``heed doctor``: is this installation well? `checks` knows what that means."""

import typer

from serving.commands import output


def doctor(as_json: output.Json = False) -> None:
    """Check the installation, the data and the model; says what to do."""
    from serving.commands import checks

    found = []
    for check in checks.examine():
        found.append(check)
        if not as_json:
            sign = "ok  " if check.ok else "FAIL"
            output.say(f"{sign}  {check.name}: {check.found}")
            if check.remedy:
                output.say(f"      {check.remedy}")
    failed = sum(not check.ok for check in found)
    if as_json:
        output.document(
            {
                "object": "doctor",
                "ok": not failed,
                "checks": [
                    {
                        "name": check.name,
                        "ok": check.ok,
                        "found": check.found,
                        "remedy": check.remedy or None,
                    }
                    for check in found
                ],
            }
        )
    else:
        output.say(f"\n{failed} of {len(found)} checks failed." if failed else "\nAll is well.")
    if failed:
        raise typer.Exit(1)
