"use strict";
// Names of files and people only ever become text or attributes, never HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const UNITS = [["_kg_per_m2", 1, "kg/m²", 1], ["_kg", 1, "kg", 1], ["_m", 100, "cm", 1]];
const SMALL_WORDS = { bmi: "BMI", iou: "IoU" };

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function describe(name) {
  // A measurement's name, such as waist_m, as words, unit and factor.
  const [ending, factor, unit, digits] = UNITS.find(([end]) => name.endsWith(end)) || ["", 1, "", 2];
  const words = name.slice(0, name.length - ending.length).split("_").filter(Boolean);
  const label = words.map((word) => SMALL_WORDS[word] || word).join(" ");
  const capital = label.charAt(0).toUpperCase() + label.slice(1);
  return { label: capital, unit, show: (value) => (value * factor).toFixed(digits) };
}

function find_columns() {
  const names = new Set();
  for (const person of data.people) Object.keys(person.measurements).forEach((name) => names.add(name));
  const sizes = [...names].map((name) => ({
    ...describe(name), value: (person) => person.measurements[name],
  }));
  const iou = { label: "IoU", unit: "", show: (value) => value.toFixed(2), value: (person) => person.iou };
  return [iou, ...sizes];
}

const columns = find_columns();
let order = { column: null, falling: false };
let shown = data.people.map((_, index) => index); // what the table shows, in its order
let chosen = -1;
let rows = [];
let blended = 99; // where the slider was put; at first at its end

// --- the table ---------------------------------------------------------------------------------

function compare(a, b) {
  const value = order.column === "name" ? (index) => data.people[index].label.toLowerCase()
    : (index) => order.column.value(data.people[index]);
  const [one, other] = [value(a), value(b)];
  const missing = (each) => each === null || each === undefined || Number.isNaN(each);
  if (missing(one) || missing(other)) return missing(one) - missing(other); // always at the end
  const sign = typeof one === "string" ? one.localeCompare(other, undefined, { numeric: true }) : one - other;
  return order.falling ? -sign : sign;
}

function make_row(person, index) {
  const row = make("tr");
  const picture = make("td");
  if (person.layers.length) {
    const source = person.layers[0].source;
    picture.append(make("img", undefined, { loading: "lazy", decoding: "async", alt: "", src: source }));
  }
  const name = make("td");
  name.append(make("button", person.label, { type: "button", title: person.label }));
  row.append(picture, name);
  for (const column of columns) {
    const value = column.value(person);
    row.append(make("td", typeof value === "number" ? column.show(value) : "–"));
  }
  row.addEventListener("click", () => choose(index));
  return row;
}

function make_heading(text, column) {
  const heading = make("th", undefined, { scope: "col" });
  const button = make("button", text, { type: "button" });
  button.addEventListener("click", () => {
    const again = order.column === column;
    order = { column, falling: again ? !order.falling : column !== "name" };
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order.falling ? "descending" : "ascending");
    fill_table();
  });
  heading.append(button);
  return heading;
}

function make_table() {
  const head = byId("table").tHead.rows[0];
  head.append(make("th"), make_heading("Person", "name"));
  for (const column of columns) {
    head.append(make_heading(column.unit ? `${column.label} (${column.unit})` : column.label, column));
  }
  rows = data.people.map(make_row);
}

function fill_table() {
  const wanted = byId("search").value.trim().toLowerCase();
  shown = data.people.map((_, index) => index)
    .filter((index) => data.people[index].label.toLowerCase().includes(wanted));
  if (order.column) shown.sort(compare);
  byId("table").tBodies[0].replaceChildren(...shown.map((index) => rows[index]));
  const all = data.people.length;
  const people = `${all} ${all === 1 ? "person" : "people"}`;
  byId("count").textContent = wanted ? `${shown.length} of ${people}` : people;
  byId("nobody").hidden = shown.length > 0;
}

// --- one person --------------------------------------------------------------------------------

function choose(index) {
  if (index === chosen) return;
  if (chosen >= 0) rows[chosen].removeAttribute("aria-selected");
  chosen = index;
  rows[index].setAttribute("aria-selected", "true");
  const person = data.people[index];
  byId("person").hidden = false;
  byId("name").textContent = person.label;
  show_layers(person.layers);
  show_facts(person);
  show_body(index);
}

function step(by) {
  if (!shown.length) return;
  const place = shown.indexOf(chosen);
  const next = place < 0 ? 0 : (place + by + shown.length) % shown.length;
  choose(shown[next]);
  rows[shown[next]].scrollIntoView({ block: "nearest" });
}

function show_layers(layers) {
  const images = layers.map((layer) => make("img", undefined, { alt: layer.name, src: layer.source }));
  byId("stage").replaceChildren(...images);
  byId("blend").max = Math.max(layers.length - 1, 0);
  byId("stops").replaceChildren(...layers.map((layer, place) => {
    const button = make("button", layer.name, { type: "button" });
    button.addEventListener("click", () => blend(place));
    return button;
  }));
  byId("slider").hidden = layers.length < 2;
  blend(blended);
}

function blend(value) {
  // Each picture lies over the one before, and comes up while the slider moves to it.
  blended = value;
  const slider = byId("blend");
  slider.value = value;
  const place = Number(slider.value);
  [...byId("stage").children].forEach((image, index) => {
    image.style.opacity = index === 0 ? 1 : Math.min(Math.max(place - index + 1, 0), 1);
  });
  [...byId("stops").children].forEach((button, index) => {
    button.setAttribute("aria-pressed", String(Math.round(place) === index));
  });
}

function show_facts(person) {
  const list = [];
  for (const column of columns) {
    const value = column.value(person);
    const text = typeof value === "number" ? `${column.show(value)} ${column.unit}` : "–";
    list.push(make("dt", column.label), make("dd", text));
  }
  byId("measurements").replaceChildren(...list);
  byId("downloads").replaceChildren(...person.files.flatMap((file) => [
    make("a", file.name, { href: file.source, download: "" }), " ",
  ]));
}

// --- the body ----------------------------------------------------------------------------------

const bodies = new Map(); // by key of the person: posed and T-posed vertices
let viewer = null;
let tpose = false;

// Called by the files that hold bodies, each loaded when its person is first looked at: a page
// that is opened from disk may not read other files, but may run them.
window.strapsBody = (key, body) => {
  bodies.set(key, body);
  if (chosen >= 0 && data.people[chosen].key === key) draw_body();
};

function decode(text, type) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new type(bytes.buffer);
}

function decode_vertices({ low, step: size, numbers }) {
  return Float32Array.from(decode(numbers, Uint16Array), (number, i) => low[i % 3] + size[i % 3] * number);
}

function show_body(index) {
  const person = data.people[index];
  say("");
  if (!person.body) {
    if (viewer) viewer.clear();
    say("There is no file with this person's body.");
  } else if (bodies.has(person.key)) {
    draw_body();
  } else {
    const script = make("script", undefined, { src: person.body });
    script.onerror = () => { if (index === chosen) say("The body's file cannot be read."); };
    document.head.append(script);
  }
}

function draw_body() {
  viewer = viewer || make_viewer();
  if (!viewer || chosen < 0 || !bodies.has(data.people[chosen].key)) return;
  const body = bodies.get(data.people[chosen].key);
  const faces = data.faces[data.people[chosen].faces];
  const wide = faces.wide ? Uint32Array : Uint16Array;
  viewer.show_mesh(decode_vertices(tpose ? body.tpose : body.posed), decode(faces.numbers, wide));
}

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

function make_viewer() {
  try {
    return new Viewer(byId("canvas"));
  } catch (error) {
    say("This browser cannot draw in 3D (WebGL is missing).");
    return null;
  }
}

class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(28, 1, 0.05, 100);
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x8a8f99, 1.1), this.camera);
    const lamp = new THREE.DirectionalLight(0xffffff, 2.0);
    lamp.position.set(-0.6, 0.9, 1.2);
    this.camera.add(lamp);
    this.material = new THREE.MeshStandardMaterial({ color: 0xb3ccea, roughness: 0.75 });
    this.shown = new THREE.Group();
    this.scene.add(this.shown);
    this.mixer = null;
    this.framed = false;
    this.controls.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.fit()).observe(canvas);
    canvas.addEventListener("keydown", (event) => this.turn(event));
  }

  clear() {
    this.mixer = null;
    this.shown.clear();
    this.draw();
  }

  show_mesh(vertices, faces) {
    const old = this.shown.children[0];
    if (old && old.geometry) old.geometry.dispose();
    this.mixer = null;
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(vertices, 3));
    geometry.setIndex(new THREE.BufferAttribute(faces, 1));
    geometry.computeVertexNormals();
    geometry.center(); // so that every body is in the middle, in the photo's pose or the T-pose
    this.shown.clear();
    this.shown.add(new THREE.Mesh(geometry, this.material));
    if (!this.framed) this.frame();
    this.fit();
  }

  async show_glb(buffer) {
    const content = await new THREE.GLTFLoader().parseAsync(buffer, "");
    this.shown.clear();
    this.shown.add(content.scene);
    content.scene.updateMatrixWorld(true);
    content.scene.traverse((node) => { node.frustumCulled = false; });
    this.frame();
    this.framed = false;
    const moving = content.animations.filter((clip) => clip.duration > 0);
    this.mixer = moving.length ? new THREE.AnimationMixer(content.scene) : null;
    if (this.mixer) {
      moving.forEach((clip) => this.mixer.clipAction(clip).play());
      const mixer = this.mixer;
      let before = performance.now();
      const tick = (now) => {
        if (this.mixer !== mixer) return;
        mixer.update(Math.max(now - before, 0) / 1000);
        before = now;
        this.draw();
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    }
    this.fit();
    return { clips: content.animations.length, moving: moving.length };
  }

  frame() {
    // From the front and a little above, so that all of the body is in sight however it is turned.
    const box = new THREE.Box3().setFromObject(this.shown, true);
    const centre = box.getCenter(new THREE.Vector3());
    const radius = box.getSize(new THREE.Vector3()).length() / 2 || 1;
    const distance = (0.85 * radius) / Math.sin((this.camera.fov / 2) * (Math.PI / 180));
    const wide = this.canvas.clientWidth / Math.max(this.canvas.clientHeight, 1);
    this.controls.target.copy(centre);
    const direction = new THREE.Vector3(0, 0.12, 1).normalize();
    this.camera.position.copy(centre).addScaledVector(direction, distance / Math.min(wide || 1, 1));
    this.controls.update();
    this.framed = true;
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  turn(event) {
    const turns = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, -0.2], ArrowDown: [0, 0.2] };
    const [around, up] = turns[event.key] || [0, 0];
    if (!around && !up) return;
    event.preventDefault();
    event.stopPropagation();
    const from = this.camera.position.clone().sub(this.controls.target);
    const length = from.length();
    const yaw = Math.atan2(from.x, from.z) + around;
    const pitch = Math.min(Math.max(Math.acos(from.y / length) + up, 0.05), Math.PI - 0.05);
    from.set(Math.sin(pitch) * Math.sin(yaw), Math.cos(pitch), Math.sin(pitch) * Math.cos(yaw));
    this.camera.position.copy(this.controls.target).addScaledVector(from, length);
    this.controls.update();
    this.draw();
  }

  draw() {
    this.renderer.render(this.scene, this.camera);
  }
}

async function open_glb(file) {
  viewer = viewer || make_viewer();
  if (!viewer) return;
  try {
    const found = await viewer.show_glb(await file.arrayBuffer());
    say(`${file.name}${found.moving ? ", moving" : ""}`);
  } catch (error) {
    say(`${file.name} is not a GLB file that can be shown.`);
  }
}

// --- controls ----------------------------------------------------------------------------------

function toggle_tpose() {
  tpose = !tpose;
  byId("pose").setAttribute("aria-pressed", String(tpose));
  say("");
  draw_body();
}

function on_key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === byId("search");
  if (event.key === "Escape" && typing) {
    byId("search").value = "";
    fill_table();
    byId("search").blur();
  }
  const sliding = event.target === byId("blend");
  if (typing || (sliding && event.key.startsWith("Arrow"))) return;
  const keys = {
    "/": () => byId("search").focus(),
    ArrowDown: () => step(1), ArrowUp: () => step(-1), j: () => step(1), k: () => step(-1),
    1: () => blend(0), 2: () => blend(1), 3: () => blend(2),
    t: toggle_tpose, r: () => { if (viewer) { viewer.frame(); viewer.draw(); } },
  };
  const act = keys[event.key] || keys[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

function list_skipped() {
  const skipped = byId("skipped");
  skipped.hidden = !data.skipped.length;
  skipped.querySelector("summary").textContent =
    `${data.skipped.length} ${data.skipped.length === 1 ? "photo was" : "photos were"} skipped`;
  skipped.querySelector("ul").append(...data.skipped.map((each) => make("li", each.reason)));
}

byId("search").addEventListener("input", fill_table);
byId("blend").addEventListener("input", () => blend(byId("blend").value));
byId("pose").addEventListener("click", toggle_tpose);
byId("reset").addEventListener("click", () => { if (viewer) { viewer.frame(); viewer.draw(); } });
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("glb").addEventListener("change", (event) => {
  if (event.target.files.length) open_glb(event.target.files[0]);
});
document.addEventListener("keydown", on_key);
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) open_glb(event.dataTransfer.files[0]);
});
make_table();
fill_table();
list_skipped();
if (data.people.length) choose(0);
