"""Looks at the page of `wshare inspect --html` in a headless Chromium: it draws without an error in
the console, sorts, searches, follows the keyboard, fits a phone, and hostile names stay text.

    report_browser.py WSHARE

Exit 77 (skipped) where chromium or chromedriver is missing. Uses WebDriver over HTTP: no package is
needed. Source: W3C WebDriver.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HOSTILE = [
    b"<script>window.pwned = 1</script>",
    b"</script><img src=x onerror=window.pwned=1>",
    b"<!--<script>",
    b"\" onmouseover=\"window.pwned=1\" '`",
    b"\xff\xfe\x80 no utf-8",
    "\u202egnp.exe \u2066\u200f \u05d0\u05d1\u05d2".encode(),
    b"line\nbreak\ttab\x00zero\x1b[31m",
    b"&lt;b&gt; @DATA@ ${1} \\u003c",
    b"long" * 16384,
]


# ---- models, written as protobuf by hand: no onnx package is needed, and it would refuse bad UTF-8

def varint(number):
    out = b""
    while True:
        out += bytes([number & 127 | (128 if number > 127 else 0)])
        number >>= 7
        if not number:
            return out


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def model(tensors):
    """tensors: (name, raw bytes) each, as float32 vectors that Identity nodes read."""
    graph = b""
    for i, (name, _) in enumerate(tensors):
        graph += field(1, field(1, name) + field(2, b"y%d" % i) + field(4, b"Identity"))
    graph += field(2, b"g")
    for name, raw in tensors:
        graph += field(5, field(1, len(raw) // 4) + field(2, 1) + field(8, name) + field(9, raw))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def write_models(folder):
    numbers = random.Random(7)
    shared = [numbers.randbytes(4000 + 400 * i) for i in range(30)]
    folder.mkdir()
    for name in ["alpha", "beta", "gamma"]:
        tensors = [(b"block.%d.weight" % i, raw) for i, raw in enumerate(shared) if (i + len(name)) % 3]
        tensors += [(b"own.%d.%s" % (i, name.encode()), numbers.randbytes(2000 + 4 * i)) for i in range(150)]
        tensors += [(text, numbers.randbytes(9000)) for text in HOSTILE] if name == "beta" else []
        (folder / (name + ".onnx")).write_bytes(model(tensors))
    (folder / "<i onclick=x>&amp;\".onnx").write_bytes(model([(b"w", numbers.randbytes(5000))]))


def write_family(folder, count):
    numbers = random.Random(8)
    shared = numbers.randbytes(8000)
    folder.mkdir()
    for i in range(count):
        (folder / ("m%d.onnx" % i)).write_bytes(model([(b"w", shared), (b"own", numbers.randbytes(2000))]))


# ---- browser

class Browser:
    def __init__(self, driver, chromium):
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:  # "ChromeDriver was started successfully on port 1234."
            if "started successfully" in line:
                self.base = "http://127.0.0.1:" + line.rstrip(".\n").split()[-1]
                break
        options = {"binary": chromium, "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000", "--disable-dev-shm-usage"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = "/session"
        self.session += "/" + self.call("", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def call(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + self.session + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()[:600]) from None

    def open(self, path):
        self.call("/url", {"url": path.resolve().as_uri()})
        for _ in range(1200):
            if self.run("return document.documentElement.dataset.ready") == "yes":
                return
            time.sleep(0.05)
        raise AssertionError("the page did not get ready: %s" % self.errors())

    def run(self, script):
        return self.call("/execute/sync", {"script": script, "args": []})

    def element(self, selector):
        return list(self.call("/element", {"using": "css selector", "value": selector}).values())[0]

    def click(self, selector):
        self.run("document.querySelector(%s).scrollIntoView({block: 'center'})" % json.dumps(selector))
        self.call("/element/%s/click" % self.element(selector), {})

    def type(self, selector, text):
        self.call("/element/%s/value" % self.element(selector), {"text": text})

    def errors(self):
        return [entry for entry in self.call("/se/log", {"type": "browser"}) if entry["level"] in ("SEVERE", "WARNING")]

    def resize(self, width, height):
        self.call("/window/rect", {"width": width, "height": height})

    def screenshot(self, path):
        import base64
        path.write_bytes(base64.b64decode(self.call("/screenshot")))

    def close(self):
        try:
            self.call("", method="DELETE")
        finally:
            self.process.terminate()
            self.process.wait()


def check(claim, holds, more=""):
    print(("ok      " if holds else "FAILED  ") + claim)
    check.failed += 0 if holds else 1
    if not holds and more != "":
        print("        ", more)


check.failed = 0

ROWS = "return [...document.querySelectorAll('#rows tr')].map((row) => row.%s)"


def column(browser, number):
    return browser.run(ROWS % ("children[%d].textContent" % number))


def look_at_models(browser, page):
    browser.open(page)
    check("draws without an error in the console", browser.errors() == [], browser.errors())
    check("asks for nothing from elsewhere", browser.run("return performance.getEntriesByType('resource').length") == 0)
    for part in ["map", "bars", "heat", "findings", "tensors"]:
        check("shows its part: " + part, not browser.run("return document.getElementById('%s-section').hidden" % part))
    check("draws tiles", browser.run("return document.querySelectorAll('#map rect').length") > 100)
    check("has a row for each of 4 models", browser.run("return document.querySelectorAll('#bars > div').length") == 4)
    check("has the matrix of 4 models", browser.run("return document.querySelectorAll('#heat td').length") == 16)
    numbers = browser.run("return JSON.parse(document.getElementById('data').textContent)")
    check("has its numbers as JSON", numbers["schema"] == "wshare.inspect-page/1" and len(numbers["models"]) == 4)
    largest = "return Number(document.querySelector('.headline').textContent.replace(/[^0-9.].*/, ''))"
    check("begins with the bytes before", browser.run(largest) > 0)


def look_at_table(browser):
    check("lists the largest first", column(browser, 0)[0].startswith("15.2"), column(browser, 0)[:3])
    browser.click("#columns [data-key=name] button")
    names = column(browser, 5)
    check("sorts by name", names == sorted(names) and len(names) == 100, names[:4])
    check("says so to screen readers", browser.run("return document.querySelector('[data-key=name]').getAttribute('aria-sort')") == "ascending")
    browser.click("#columns [data-key=name] button")
    check("sorts the other way", column(browser, 5)[0] > names[0])
    browser.click("#columns [data-key=bytes] button")
    browser.click("#more")
    check("shows more rows", len(column(browser, 5)) == 200)
    browser.type("#search", "BLOCK.7 float32")
    check("finds by words", column(browser, 5) == ["block.7.weight"], column(browser, 5))
    check("counts what it found", browser.run("return document.getElementById('found').textContent").startswith("1 of "))
    browser.type("#search", "no such thing")
    check("finds nothing where there is nothing", column(browser, 5) == [])
    browser.run("const field = document.getElementById('search'); field.value = ''; field.dispatchEvent(new Event('input'))")
    browser.click(".finding summary")
    check("opens a finding", browser.run("return document.querySelector('.finding').open"))
    check("says what to do about it", browser.run("return document.querySelector('.finding .remedy').textContent").startswith("wshare "))
    check("says what was inspected, and when", browser.run("return /^Inspected on \\d{4}-\\d\\d-\\d\\d: ./.test(document.getElementById('inspected').textContent)"))


def look_at_map(browser):
    browser.run("document.getElementById('map').scrollIntoView(); document.getElementById('map').focus()")
    for _ in range(3):
        browser.type("#map", "\ue014")  # right
    chosen = "return document.querySelectorAll('#map .chosen').length"
    check("follows the arrow keys", browser.run(chosen) == 1 and "KiB" in browser.run("return document.getElementById('detail').textContent"))
    name = browser.run("return document.querySelector('#detail .mono').textContent")
    browser.type("#map", "\ue007")  # Enter
    check("finds a tile in the table", column(browser, 5)[:1] == [name], (name, column(browser, 5)))
    browser.run("const field = document.getElementById('search'); field.value = ''; field.dispatchEvent(new Event('input'))")
    browser.run("const only = document.getElementById('only'); only.value = '1'; only.dispatchEvent(new Event('change'))")
    dimmed = browser.run("return document.querySelectorAll('#map rect.dim').length")
    check("dims what a model does not have", 0 < dimmed < browser.run("return document.querySelectorAll('#map rect').length"))


def look_at_hostile_names(browser):
    check("runs nothing from a name", browser.run("return window.pwned === undefined"))
    check("has no element from a name", browser.run("return document.querySelectorAll('img, i[onclick], [onmouseover], [onerror]').length") == 0)
    check("has its two scripts only", browser.run("return document.scripts.length") == 2)
    browser.run("const field = document.getElementById('search'); field.value = '2250'; field.dispatchEvent(new Event('input'))")
    names = column(browser, 5)
    check("shows hostile names as text", "<script>window.pwned = 1</script>" in names and "</script><img src=x onerror=window.pwned=1>" in names, names)
    check("shows what turns text around as numbers", any("\\xe2\\x80\\xaegnp.exe" in name for name in names), names)
    check("shows control bytes as numbers", any("line\\x0abreak" in name and "\\x1b[31m" in name for name in names), names)
    check("shows what is no UTF-8 as numbers", any("\\xff\\xfe\\x80 no utf-8" in name for name in names), names)
    check("cuts a name of 64 KiB", any("(65536 bytes)" in name for name in names) and max(map(len, names)) < 400)
    check("shows a hostile model name", browser.run("return document.getElementById('bars').textContent").count("<i onclick=x>&amp;\"") == 1)
    browser.run("const field = document.getElementById('search'); field.value = ''; field.dispatchEvent(new Event('input'))")


def look_at_forms(browser, page, shots):
    background = "return getComputedStyle(document.body).backgroundColor"
    light = browser.run(background)
    browser.click("#theme")
    check("turns dark and light", browser.run(background) != light)
    if shots:
        browser.run("scrollTo(0, 0)")
        browser.screenshot(shots / "dark.png")
    browser.resize(390, 800)
    browser.open(page)
    wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    check("fits the width of a phone", wide <= 0, wide)
    if shots:
        browser.screenshot(shots / "phone.png")
    check("has no error after all this", browser.errors() == [], browser.errors())


def look_at_many_models(browser, page):
    """A hundred models are ten thousand cells: as elements they would take longer to open than all else."""
    browser.resize(1200, 1000)
    browser.open(page)
    check("draws the matrix of 100 models in few elements", browser.run("return document.getElementsByTagName('*').length") < 4000)
    cells = browser.run("return [...document.querySelectorAll('#heat-picture path')].reduce((sum, path) => sum + path.getAttribute('d').split('M').length - 1, 0)")
    check("has all its cells", cells == 100 * 100, cells)
    browser.click("#heat-picture")  # its middle
    detail = browser.run("return document.getElementById('heat-detail').textContent")
    check("says what a cell is", "of m" in detail and "is in m" in detail, detail)
    check("has no error with many models", browser.errors() == [], browser.errors())


def main():
    wshare = sys.argv[1]
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if not driver or not chromium:
        print("SKIPPED: the report is not tested, since chromium or chromedriver is missing (Debian: chromium-driver)")
        return 77
    shots = pathlib.Path(os.environ["WSHARE_SCREENSHOTS"]) if "WSHARE_SCREENSHOTS" in os.environ else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_models(folder / "models")
        page = folder / "report.html"
        subprocess.run([wshare, "inspect", folder / "models", "--html", page], check=True, stdout=subprocess.DEVNULL)
        many = folder / "many.html"
        write_family(folder / "family", 100)
        subprocess.run([wshare, "inspect", folder / "family", "--html", many], check=True, stdout=subprocess.DEVNULL)
        browser = Browser(driver, chromium)
        try:
            look_at_models(browser, page)
            look_at_table(browser)
            look_at_map(browser)
            look_at_hostile_names(browser)
            look_at_forms(browser, page, shots)
            look_at_many_models(browser, many)
        finally:
            browser.close()
    print("%d failed" % check.failed)
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
