"""The page of all results: what is in it, and how it behaves in a browser."""

import base64
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from predict import page
from predict.page import write_page
from utils.errors import InputError
from utils.files import write_npz
from utils.images import read_image, write_image

HOSTILE = "<img src=x onerror='window.hacked=1'>&\"%2e \U0001f600.png"  # as a file may be called
HOSTILE_REASON = "</script><script>window.hacked=1</script><!--<script>"
VERTICES = np.array([[0, -1, 0.3], [0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0.5, -1]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.uint16)
PEOPLE = (  # file, number, name, height, IoU
    ("b.png", 1, "b", 1.5, 0.9),
    ("two.jpg", 1, "two_1", 1.9, 0.7),
    ("two.jpg", 2, "two_2", None, 0.8),
    (HOSTILE, 1, HOSTILE.removesuffix(".png"), 1.7, None),
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Results of four people in three photos, as run_predict.py writes them."""
    output = tmp_path / "a folder" / "out"
    output.mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    people = []
    for file, number, name, height, iou in PEOPLE:
        write_image(tmp_path / "photos" / file, np.full((60, 40, 3), 90, np.uint8))
        measurements = {"height_m": height, "weight_kg": 70.0, "bmi_kg_per_m2": 22.0, "new": 3.0}
        people.append(
            {"file": file, "person": number, "name": name, "box": [0, 0, 9, 9], "betas": [0] * 10,
             "measurements": measurements, "silhouette_iou": iou, "image_size": [40, 60]}
        )  # fmt: skip
        arrays = {"vertices": VERTICES, "vertices_tpose": 2 * VERTICES, "faces": FACES}
        write_npz(output / f"{name}.npz", arrays)
        for kind in ("overlay", "proxy", "tpose"):
            write_image(output / f"{name}_{kind}.png", np.full((60, 40, 3), 200, np.uint8))
    skipped = [{"file": "c.png", "reason": HOSTILE_REASON}]
    content = {"format": 1, "body_hash": "1234", "people": people, "skipped": skipped}
    (output / "results.json").write_text(json.dumps(content))
    return output


def _photos(folder: Path) -> list[Path]:
    return sorted((folder.parent.parent / "photos").iterdir())


class _Page(HTMLParser):
    """Tags and scripts, as a browser finds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags[-1:] == ["script"] and self.cdata_elem == "script":
            self.scripts[-1] += data


def _read_data(written: Path) -> dict:
    return json.loads(_Page(written.read_text(encoding="utf-8")).scripts[0])


def test_names_are_data_and_never_html(folder):
    written = _Page(write_page(folder, _photos(folder)).read_text(encoding="utf-8"))
    assert written.tags.count("script") == 3  # data, three.js, and the page's own
    assert "img" not in written.tags
    data = json.loads(written.scripts[0])
    labels = ["b.png", "two.jpg, person 1", "two.jpg, person 2", HOSTILE]
    assert [person["label"] for person in data["people"]] == labels
    assert data["skipped"] == [{"reason": HOSTILE_REASON}]
    for script in written.scripts[1:]:  # with either of these a browser may read on elsewhere
        assert "<!--" not in script


def test_a_marker_in_a_name_is_not_filled_in(folder):
    text = (folder / "results.json").read_text().replace("c.png", "/*THREE*/")
    (folder / "results.json").write_text(text.replace("</script>", "/*SCRIPT*/"))
    data = _read_data(write_page(folder, []))
    assert data["skipped"][0]["reason"].startswith("/*SCRIPT*/")


def test_everything_that_is_linked_is_there(folder):
    data = _read_data(write_page(folder, _photos(folder)))
    for person in data["people"]:
        assert [layer["name"] for layer in person["layers"]] == ["Photo", "Proxy", "Overlay"]
        assert [file["name"] for file in person["files"]] == ["npz", "tpose"]
        for link in (*person["layers"], *person["files"], {"source": person["body"]}):
            assert (folder / unquote(link["source"])).is_file()


def test_bodies_are_the_results(folder):
    data = _read_data(write_page(folder, []))
    (faces,) = data["faces"].values()
    assert not faces["wide"]
    numbers = np.frombuffer(base64.b64decode(faces["numbers"]), "<u2")
    np.testing.assert_array_equal(numbers.reshape(-1, 3), FACES)
    call = (folder / unquote(data["people"][0]["body"])).read_text()
    assert call.startswith('strapsBody("b", {')
    body = json.loads(call[len('strapsBody("b", ') : -len(");\n")])
    for name, expected in (("posed", VERTICES * [1, -1, -1]), ("tpose", 2 * VERTICES)):
        packed = body[name]
        steps = np.frombuffer(base64.b64decode(packed["numbers"]), "<u2").reshape(-1, 3)
        vertices = np.array(packed["low"]) + np.array(packed["step"]) * steps
        np.testing.assert_allclose(vertices, expected, atol=5e-5)


def test_what_is_missing_is_left_out(folder):
    photos = _photos(folder)
    next(photo for photo in photos if photo.name == "b.png").write_text("no picture")
    (folder / "two_1.npz").write_text("no result")
    (folder / "two_2.npz").unlink()
    (folder / "b_proxy.png").unlink()
    first, second, third, _ = _read_data(write_page(folder, photos))["people"]
    assert [layer["name"] for layer in first["layers"]] == ["Overlay"]
    assert second["body"] is None
    assert third["body"] is None
    assert [file["name"] for file in third["files"]] == ["tpose"]


def test_photos_are_reduced_and_stay_for_the_next_page(folder, monkeypatch):
    monkeypatch.setattr(page, "PHOTO_SIDE", 30)
    write_page(folder, _photos(folder))
    again = _read_data(write_page(folder, []))
    photo = folder / unquote(again["people"][0]["layers"][0]["source"])
    assert read_image(photo).shape == (30, 20, 3)


@pytest.mark.parametrize("content", [None, "{", '{"people": [{}], "skipped": []}', "[]"])
def test_without_a_table_there_is_no_page(folder, content):
    (folder / "results.json").unlink()
    if content is not None:
        (folder / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json"):
        write_page(folder, [])
    assert not (folder / "index.html").exists()


def test_scripts_are_javascript():
    if shutil.which("node") is None:
        pytest.skip("node is not installed: no check of the page's script")
    for name in ("page.js", "three.min.js"):
        path = Path(page.__file__).parent / "page_files" / name
        subprocess.run(["node", "--check", str(path)], check=True, capture_output=True)


# --- in a browser ------------------------------------------------------------------------------

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SECONDS = 120


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page is tried in a browser by: pip install playwright"
    )
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser to try the page in; looked for {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=program, args=FLAGS, timeout=1000 * SECONDS
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser, folder):
    """The page, opened from disk; fails where it complains."""
    complaints = []
    tab = browser.new_page(viewport={"width": 1200, "height": 800}, offline=True)
    tab.set_default_timeout(1000 * SECONDS)
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(write_page(folder, _photos(folder)).as_uri(), wait_until="commit")
    tab.wait_for_selector("tbody tr")
    yield tab
    assert tab.evaluate("window.hacked") is None
    tab.close()
    # Chromium's own words about software rendering are no complaint of the page's.
    assert [each for each in complaints if "GL Driver Message" not in each] == []


def _names(tab) -> list[str]:
    return tab.locator("tbody td:nth-child(2)").all_text_contents()


def _drawn(tab) -> int:
    """How many pixels of the canvas show a body."""
    return tab.evaluate(
        "() => { viewer.draw(); const gl = viewer.renderer.getContext();"
        "const pixels = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);"
        "gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA,"
        "gl.UNSIGNED_BYTE, pixels);"
        "return pixels.filter((value, index) => index % 4 === 3 && value > 0).length; }"
    )


def test_search_sort_and_choose(opened):
    everybody = ["b.png", "two.jpg, person 1", "two.jpg, person 2", HOSTILE]
    assert _names(opened) == everybody
    opened.locator("th button", has_text="Height (cm)").click()
    # The tallest first; of one the height is not known.
    assert [_names(opened)[place] for place in (0, 1, 3)] == [everybody[1], HOSTILE, everybody[2]]
    opened.locator("th button", has_text="Height (cm)").click()
    assert _names(opened)[0] == "b.png"
    opened.locator("#search").fill("TWO")
    assert len(_names(opened)) == 2
    assert opened.locator("#count").text_content() == "2 of 4 people"
    opened.locator("#search").fill("nobody")
    assert opened.locator("#nobody").is_visible()
    opened.locator("#search").press("Escape")
    opened.locator("tbody button", has_text="onerror").click()
    assert opened.locator("#name").text_content() == HOSTILE
    facts = opened.locator("#measurements").text_content()
    assert "Height170.0 cm" in facts
    assert "BMI22.0 kg/m²" in facts
    assert "IoU–" in facts


def test_the_slider_goes_from_photo_to_body(opened):
    def opacities() -> list[float]:
        return opened.evaluate(
            "[...document.querySelectorAll('#stage img')].map(each => Number(each.style.opacity))"
        )

    assert opacities() == [1, 1, 1]
    opened.locator("#blend").fill("0.5")
    assert opacities() == [1, 0.5, 0]
    opened.locator("#stops button", has_text="Photo").click()
    assert opacities() == [1, 0, 0]
    opened.wait_for_function(
        "[...document.querySelectorAll('#stage img')].every(e => e.naturalWidth)"
    )


def test_keys_and_the_body(opened):
    opened.wait_for_function("viewer !== null && viewer.shown.children.length > 0")
    assert _drawn(opened) > 100
    opened.keyboard.press("ArrowDown")
    assert opened.locator("#name").text_content() == "two.jpg, person 1"
    opened.keyboard.press("2")
    assert opened.locator("#blend").input_value() == "1"
    opened.keyboard.press("t")
    assert opened.locator("#pose").get_attribute("aria-pressed") == "true"
    opened.wait_for_function("bodies.has('two_1')")
    before = opened.evaluate("viewer.camera.position.x")
    opened.locator("#canvas").press("ArrowRight")
    assert opened.evaluate("viewer.camera.position.x") != before
    assert opened.locator("#name").text_content() == "two.jpg, person 1"
    opened.keyboard.press("/")
    opened.keyboard.type("b.")
    assert _names(opened) == ["b.png"]


def test_the_viewer_shows_rigged_meshes_and_refuses_others(opened, tmp_path):
    import torch

    from models.body_model import BodyModel
    from predict.rigged_mesh import Motion, Rig, write_glb

    rotmats = torch.eye(3).repeat(3, 24, 1, 1)
    rotmats[:, 0] = torch.diag(torch.tensor([1.0, -1, -1]))
    motion = Motion(np.zeros(10, np.float32), rotmats.numpy(), np.zeros((3, 3)), fps=10)
    write_glb(tmp_path / "walk.glb", Rig.from_body_model(BodyModel.load()), motion)
    opened.locator("#glb").set_input_files(str(tmp_path / "walk.glb"))
    opened.locator("#message", has_text="walk.glb, moving").wait_for()
    assert _drawn(opened) > 1000
    (tmp_path / "bad.glb").write_text("no mesh")
    opened.locator("#glb").set_input_files(str(tmp_path / "bad.glb"))
    opened.locator("#message", has_text="bad.glb is not a GLB").wait_for()


def test_a_phone_shows_all_of_it(browser, folder):
    tab = browser.new_page(viewport={"width": 360, "height": 740}, offline=True)
    tab.set_default_timeout(1000 * SECONDS)
    tab.goto(write_page(folder, _photos(folder)).as_uri(), wait_until="commit")
    tab.wait_for_selector("tbody tr")
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    tab.close()
