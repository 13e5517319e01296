// The virtual box's page: pixels, lamp, voice and keys over one websocket. No framework, nothing from elsewhere.
import { drawLog, showChoices, showFaults, showGate, showReceipt, showTill, toast } from "/page/panels.js";

const el = (id) => document.getElementById(id);
const canvas = el("display");
const glass = canvas.getContext("2d", { alpha: false });
const device = el("device");
const KEYS = { Enter: "ok", NumpadEnter: "ok", Escape: "cancel", Backspace: "back", ".": "dot", ",": "dot", m: "menu", M: "menu" };
const FIRST_RETRY_MS = 400, LONGEST_RETRY_MS = 5000, CAPTION_MS = 9000;
let socket = null, retryMs = FIRST_RETRY_MS, painting = Promise.resolve(), captionTimer = 0;

export function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  else toast("盒子没有连接 · the box is not connected");
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { retryMs = FIRST_RETRY_MS; link("up", "已连接 · connected"); el("log").replaceChildren(); };
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : paint(data));
  socket.onclose = () => {
    link("down", "已断开，正在重连 · lost, trying again");
    device.dataset.lamp = "off";
    setTimeout(connect, retryMs * (0.5 + Math.random() / 2));
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  };
}

function link(state, text) {
  el("link").dataset.state = state;
  el("link").lastElementChild.textContent = text;
}

function hear(message) {
  if (message.box) [canvas.width, canvas.height] = message.box.display;
  if (message.lamp) { device.dataset.lamp = message.lamp.colour; device.dataset.blink = message.lamp.blink; }
  if (message.voice) say(message.voice);
  if (message.camera) showChoices(message.camera, (name) => send({ camera: name }));
  if (message.faults) showFaults(message.faults, (fault, state) => send({ fault, state }));
  if ("till" in message) showTill(message.till.url);
  if (message.log) drawLog(message.log);
  if (message.receipt) showReceipt(message.receipt);
  if (message.gate) showGate(message.gate);
  if (message.error) toast(`${message.error.why}${message.error.hint ? ` (${message.error.hint})` : ""}`);
}

// Header of four big-endian 16-bit numbers (x, y, width, height), then a PNG of that part. Painted in the order they came.
function paint(buffer) {
  const head = new DataView(buffer, 0, 8);
  const picture = createImageBitmap(new Blob([new Uint8Array(buffer, 8)], { type: "image/png" }));
  painting = painting.then(async () => {
    const part = await picture;
    glass.drawImage(part, head.getUint16(0), head.getUint16(2));
    part.close();
  }).catch((why) => toast(`画面无法显示 · a picture could not be shown: ${why}`));
}

function say({ text, locale }) {
  const caption = el("caption");
  caption.textContent = text;
  caption.lang = locale;
  caption.classList.add("live");
  clearTimeout(captionTimer);
  captionTimer = setTimeout(() => caption.classList.remove("live"), CAPTION_MS);
  if (el("speak").getAttribute("aria-pressed") !== "true" || !window.speechSynthesis) return;
  speechSynthesis.cancel();
  const utterance = new SpeechSynthesisUtterance(text);
  utterance.lang = locale;
  speechSynthesis.speak(utterance);
}

function press(key) {
  send({ key });
  const cap = document.querySelector(`[data-key="${key}"]`);
  cap.classList.add("down");
  setTimeout(() => cap.classList.remove("down"), 110);
}

for (const cap of el("keys").children) {
  // Down, not up: a real key acts when it goes down. preventDefault keeps the focus where it was.
  cap.addEventListener("pointerdown", (event) => { if (event.button === 0) { event.preventDefault(); press(cap.dataset.key); } });
  cap.addEventListener("mousedown", (event) => event.preventDefault());
  cap.addEventListener("click", (event) => { if (event.detail === 0) press(cap.dataset.key); });
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.("input, textarea")) return;
  const key = /^[0-9]$/.test(event.key) ? event.key : KEYS[event.key];
  if (!key) return;
  event.preventDefault();
  press(key);
});

// A code stays in the field, marked, so that the same goods can be scanned again and the next code replaces it.
el("scan-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = el("scan").value.trim();
  if (code) send({ scan: code });
  el("scan").select();
});

el("speak").addEventListener("click", ({ currentTarget }) => {
  const on = currentTarget.getAttribute("aria-pressed") !== "true";
  currentTarget.setAttribute("aria-pressed", on);
  if (!on) window.speechSynthesis?.cancel();
  currentTarget.blur();
});

el("clear").addEventListener("click", ({ currentTarget }) => { el("log").replaceChildren(); currentTarget.blur(); });

const root = document.documentElement;
root.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
el("theme").addEventListener("click", ({ currentTarget }) => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  currentTarget.blur();
});

// What the camera sees, a few times a second while somebody looks at the page. The next picture is asked for when this one is there.
const view = el("view");
function look() {
  if (document.hidden || socket?.readyState !== WebSocket.OPEN) setTimeout(look, 500);
  else view.src = `/camera.jpg?${Date.now()}`;
}
view.addEventListener("load", () => setTimeout(look, 250));
view.addEventListener("error", () => setTimeout(look, 1000));

// The Chinese font joins the page when it is there: swapped in by the browser itself, some labels keep their empty boxes.
document.fonts.load('16px "Box CJK"', "翠").then(() => root.classList.add("cjk"));

connect();
look();
