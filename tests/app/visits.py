"""What a user does with the page, in a window of a real browser."""

from urllib.parse import urlsplit

from tests.app.served import PATIENCE_MS

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
UNNAMED = """
() => [...document.querySelectorAll("input, select, textarea, button, a, img")]
  .filter((one) => one.offsetParent !== null && one.type !== "file")
  .filter((one) => !((one.getAttribute("aria-label") || one.getAttribute("alt") || one.innerText || "").trim()
    || one.title || one.getAttribute("aria-labelledby") || (one.labels && one.labels.length) || one.closest("label")))
  .map((one) => one.outerHTML.slice(0, 200))
"""
"""A script that lists controls and pictures without a name for screen readers."""


class Visit:
    """A user's own window, which notes every request and every complaint."""

    def __init__(self, browser, site, size=DESKTOP):
        self.context = browser.new_context(viewport=size, accept_downloads=True)
        self.asked, self.complaints, self.failed = [], [], []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.context.on("requestfailed", lambda request: self.failed.append(f"{request.url}: {request.failure}"))
        self.context.on("console", lambda words: words.type == "error" and self.complaints.append(words.text))
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.site = site
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.goto(site.url)
        self.button("Swap").wait_for()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        complaints = list(self.complaints)
        self.context.close()  # it breaks off what is still asked for, and the page complains
        if kind is None:
            assert not complaints, (complaints, self.failed)
            own = urlsplit(self.site.url).netloc
            elsewhere = [url for url in self.asked if not url.startswith(("data:", "blob:"))]
            assert {urlsplit(url).netloc for url in elsewhere} == {own}

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, label, option):
        self.page.get_by_label(label, exact=True).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()

    def view(self, name):
        self.page.get_by_role("radio", name=name, exact=True).check()

    def upload(self, name, file):
        self.page.locator(f"#{name} input[type=file]").set_input_files(file)

    def says(self, words):
        self.page.get_by_text(words).first.wait_for()

    def example(self, label="Example pair", option="rendered, woman → rendered, man"):
        self.choose(label, option)
        names = ("both-source", "both-target") if "both" in label else ("source-photo", "target-photo")
        for name in names:
            self.page.locator(f"#{name} img").wait_for()

    def get(self, address):
        """A file that the page made, as bytes."""
        return self.context.request.get(self.site.url + address).body()


def shown(locator):
    """Whether a picture was loaded."""
    return locator.evaluate("image => image.decode().then(() => image.naturalWidth)")
