"""The local page in a headless Chromium: a picture and labels go in, the answer is to be seen."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request

import pytest

from keras_clip.catalogue import BUNDLED_PRESET, zoo_directory

pytestmark = pytest.mark.slow  # it starts a server and a browser

FLAGS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync window-size=1060,860"
).split()
DEMO = zoo_directory() / "demo"
WAIT = 60  # seconds; a busy machine is slow


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The page's address; it runs in a process of its own, as the command line starts it."""
    pytest.importorskip("gradio")
    if os.environ["KERAS_BACKEND"] != "jax":
        pytest.skip("the page is the same on every backend: one is enough")
    if not (zoo_directory() / BUNDLED_PRESET).is_dir():
        pytest.skip("the bundled weights are not in this checkout")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "keras_clip.cli", "app", "--preset", BUNDLED_PRESET]
    command += ["--image-size", "192", "--port", str(port), "--json"]
    uploads = {"GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("uploads"))}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **uploads}
    )
    try:
        lines = [process.stdout.readline() for _ in range(3)]  # {, the address, }
        yield json.loads("".join(lines))["url"]
    finally:
        process.terminate()
        process.communicate(timeout=WAIT)


@pytest.fixture
def browser(tmp_path):
    """A new Chromium without a past, which keeps a record of what it asks for."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with chromedriver: scripts/install_browser.sh installs it")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    chromium = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


def until(browser, condition):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, WAIT).until(condition)


def open_page(browser, url):
    browser.get(url)
    until(browser, lambda page: page.find_elements("id", "classify"))


def fill(browser, name, text):
    browser.find_element("css selector", f"#{name} textarea, #{name} input").send_keys(text)


def upload(browser, place, path):
    """Choose a picture in the tab at a place, and wait until the server has it."""
    browser.find_elements("css selector", "input[type=file]")[place].send_keys(str(path))
    until(browser, lambda page: page.find_elements("css selector", "img[src*='/file=']"))


def asked_for(browser):
    """Every address on a network that the browser has asked for."""
    found = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.add(message["params"]["request"]["url"])
    return {address for address in found if address.startswith(("http", "ws"))}


def test_upload_labels_button_answer(url, browser):
    open_page(browser, url)
    upload(browser, 0, DEMO / "red_arrow.png")
    fill(browser, "labels", "a blue star, a red arrow, a handwritten seven")
    browser.find_element("id", "classify").click()
    answers = browser.find_element("id", "answers")
    until(browser, lambda _: "%" in answers.text)
    heading, first, *_ = answers.text.split("\n")[1:]
    assert heading == first == "a red arrow"
    asked = asked_for(browser)
    assert len(asked) > 10 and all(address.startswith(url) for address in asked)


def test_where_shows_the_map_and_an_error_is_said(url, browser):
    open_page(browser, url)
    tabs = browser.find_elements("css selector", "button[role=tab]")
    assert [tab.text for tab in tabs] == ["Classify", "Where"]  # without an index, no search
    tabs[-1].click()
    browser.find_element("id", "find").click()
    until(browser, lambda page: "Give a picture first." in page.page_source)
    upload(browser, 1, DEMO / "scene_1.png")
    fill(browser, "texts", "a brown heart, a red cross")
    browser.find_element("id", "find").click()
    until(browser, lambda page: page.find_elements("css selector", "#drawn img"))
    drawn = browser.find_element("css selector", "#drawn img")
    until(browser, lambda _: int(drawn.get_attribute("naturalWidth")) > 400)


def test_every_answer_forbids_other_machines(url):
    with urllib.request.urlopen(url) as answer:
        policy = answer.headers["content-security-policy"]
    assert url.startswith("http://127.0.0.1:")
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy


def test_a_port_that_is_taken_is_named(url):
    port = url.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "keras_clip.cli", "app", "--preset", BUNDLED_PRESET]
    found = subprocess.run([*command, "--port", port], capture_output=True, text=True)
    assert found.returncode == 1 and not found.stdout
    assert f"keras-clip: error: Port {port} is taken" in found.stderr
