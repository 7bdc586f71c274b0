"""The page of `cargo local report --html` in headless Chromium: read without a script, on a phone, a screen and paper.

Usage: check_page.py LOCAL_AWS CHROMIUM
"""

import http.server
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
from urllib.parse import unquote

from wrong import check, end

# Without these, Chromium calls home.
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars"
).split()

# A page of our own measures the other in a frame, in which no script can run.
MEASURE = """<!doctype html><body><script>
onload = () => {
  const sizes = [...document.querySelectorAll('iframe')].map(frame => {
    const page = frame.contentDocument;
    return {
      width: frame.width, overflow: page.documentElement.scrollWidth - frame.clientWidth,
      text: page.body.innerText, bars: [...page.querySelectorAll('td svg')].filter(bar => bar.clientHeight > 5).length,
      rows: page.querySelectorAll('svg').length ? page.querySelectorAll('table')[0].tBodies[0].rows.length : 0,
    };
  });
  const result = document.createElement('pre');
  result.id = 'result';
  result.textContent = encodeURIComponent(JSON.stringify(sizes));
  document.body.append(result);
};
</script>%s</body>"""
FRAME = '<iframe sandbox="allow-same-origin" src="page.html" width="%d" height="900" style="border:0"></iframe>'
WIDTHS = (390, 1000)


def local(program, *arguments, status):
    ran = subprocess.run([program, *arguments], capture_output=True, text=True)
    check(ran.returncode in status, f"{' '.join(arguments)}: exit code {ran.returncode}, not one of {status}: {ran.stderr}")
    return ran.stdout


def chromium(program, *arguments):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *QUIET, f"--user-data-dir={profile}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def serve(folder, asked):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *_):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def see(local_aws, browser, name, regions, *options, words, judged):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        made = local(local_aws, "reconcile", "--regions", str(regions), *options, "--json", status=(0, 1))
        report = folder / "report.json"
        report.write_text(json.dumps(json.loads(made)["report"]))
        page = folder / "page.html"
        page.write_text(local(local_aws, "report", str(report), "--html", status=(judged,)))
        (folder / "measure.html").write_text(MEASURE % "".join(FRAME % width for width in WIDTHS))
        asked = []
        server = serve(folder, asked)
        address = f"http://127.0.0.1:{server.server_port}"
        dom = chromium(browser, "--dump-dom", "--virtual-time-budget=5000", f"{address}/measure.html")
        pdf = folder / "page.pdf"
        chromium(browser, f"--print-to-pdf={pdf}", page.as_uri())
        server.shutdown()
        measured = re.search(r'<pre id="result">([^<]*)', dom)
        check(measured, f"{name}: nothing was measured")
        for size in json.loads(unquote(measured[1])) if measured else ():
            at = f"{name} at {size['width']} px"
            check(size["overflow"] <= 0, f"{at}: {size['overflow']} px do not fit")
            rows, bars = size["rows"], size["bars"]
            check((rows, bars) == (regions, regions), f"{at}: {rows} rows and {bars} bars for {regions} Regions")
            for word in words:
                check(word in size["text"], f"{at}: no {word!r}")
        loaded = set(asked) - {"/measure.html", "/page.html", "/favicon.ico"}
        check(not loaded, f"{name}: the page loads {loaded}")
        pages = len(re.findall(rb"/Type /Page\b", pdf.read_bytes()))
        check(1 <= pages <= 20, f"{name}: {pages} printed pages")
        print(f"{name}: {regions} Regions fit {' and '.join(map(str, WIDTHS))} px, {pages} printed page(s)")


def main(local_aws, browser):
    fault = "CreateMembers@eu-west-1:unprocessed=Some <b>odd</b> text"
    denied = "ListMembers@us-west-2:error=403/AccessDeniedException/not authorized"
    see(
        local_aws, browser, "a large organization with gaps", 34, "--accounts", "1000", "--fault", fault, "--fault", denied,
        words=["Not everything could be compared", "Some <b>odd</b> text", "access-denied", "af-south-1"], judged=1,
    )
    see(
        local_aws, browser, "a small organization without a gap", 2, "--accounts", "10", "--missing", "20%",
        words=["are protected by GuardDuty", "Left out", "administrator-account 1"], judged=0,
    )
    see(
        local_aws, browser, "a small organization with a gap", 2, "--accounts", "10", "--missing", "20%", "--dry-run",
        words=["Open gaps", "not attempted", "dry run, nothing was changed", '{"reconcile": {}}'], judged=2,
    )

    with tempfile.TemporaryDirectory() as folder:
        cut = pathlib.Path(folder, "cut.json")
        cut.write_text('{"regions": {')
        for arguments in ([str(cut)], [str(cut.with_name("nothing.json"))], [], [str(cut), "--colour"]):
            local(local_aws, "report", *arguments, status=(1,))

    end("The pages are read without a script, fit, and load nothing.")


main(*sys.argv[1:])
