"""Drives the console in Chromium, on a stack in memory. Each check prints a line; a fault makes the run fail."""

import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from playwright.sync_api import sync_playwright

import attacks
import browser
import imports
import keys
import orders
import resources
import survey
from desk import Desk, Shop


class Run:
    """The parts of the test, and the results of its checks."""

    def __init__(self, binary, folder):
        self.folder, self.checks, self.faults = folder, 0, []
        self.desk, self.shop = Desk(binary, folder), Shop()
        pictures = os.environ.get("KEYPOOL_SCREENSHOTS")
        self.screenshots = pictures and Path(pictures)
        if self.screenshots:
            self.screenshots.mkdir(parents=True, exist_ok=True)

    def check(self, holds, said):
        self.checks += 1
        if not holds:
            self.faults.append(said)
        print(f"{'ok   ' if holds else 'fault'} {said}", flush=True)

    def survey(self, name):
        """Looks at the page that is open, as it is. It cannot be opened again."""
        survey.one_view(self, self.browser.page, name, 1440, "light")

    def part(self, part, *arguments):
        """Runs a part of the test. An error is a fault, and the next part runs all the same."""
        began, name = time.monotonic(), f"{part.__module__}.{part.__name__}"
        try:
            part(self, *arguments)
        except Exception as error:
            print("".join(traceback.format_exception(error)[-3:]))
            self.check(False, f"{name} ends early at {self.browser.page.url}: {error}")
        for fault in self.browser.take_faults():
            self.check(False, f"{name}: {fault}")
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)


def drive(run, chromium):
    run.browser = browser.Session(chromium, run.desk, run.desk.link)
    run.part(attacks.entrance)
    run.part(keys.sell)
    run.part(keys.stock)
    run.part(orders.place)
    run.part(orders.pages)
    for part in [
        keys.find, keys.key_actions, keys.keyboard, keys.check, resources.products, resources.generators,
        resources.api_keys, resources.signing_keys, resources.audit, imports.choose, imports.drop, imports.remove,
        keys.stop_a_search,
    ]:
        run.part(part)
    run.part(orders.callbacks)
    run.part(survey.pages)
    run.part(attacks.names)
    run.part(attacks.requests)
    run.part(attacks.links, chromium)
    run.part(attacks.console, chromium)
    run.part(attacks.other_sites)


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = Run(Path(sys.argv[1]).resolve(), Path(folder))
        chromium = browser.start(playwright, is_root=os.geteuid() == 0)
        try:
            drive(run, chromium)
        finally:
            chromium.close()
            run.desk.close()
    print(f"{run.checks - len(run.faults)} passed, {len(run.faults)} failed")
    for fault in run.faults:
        print(f"fault: {fault}")
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
