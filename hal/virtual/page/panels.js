// The panels beside the box: who is in front of the camera, faults made on purpose, the till and the event log.
const el = (id) => document.getElementById(id);
const MAX_ROWS = 500, TOAST_MS = 5000;
const PHONE = ["手机照片", "phone"], PERSON = ["真人", "in person"];
const NAMES = { camera: ["摄像头", "camera"], keypad: ["键盘", "keypad"], display: ["屏幕", "display"], scanner: ["扫码枪", "scanner"], printer: ["打印机", "printer"], gate: ["闸机", "gate"] };
const STATES = { none: "正常 ok", unplugged: "拔线 pull", frozen: "卡死 hang", no_paper: "缺纸 no paper" };
const OFFERED = {
  camera: ["none", "unplugged", "frozen"], keypad: ["none", "unplugged"], display: ["none", "unplugged"],
  scanner: ["none", "unplugged"], printer: ["none", "unplugged", "no_paper"], gate: ["none", "unplugged"],
};
let toastTimer = 0;

function make(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export function showChoices({ chosen, choices }, choose) {
  const list = el("choices");
  const shown = [...list.children].map((node) => node.dataset.name).join("\n");
  if (shown !== choices.map(({ name }) => name).join("\n")) list.replaceChildren(...choices.map((choice) => card(choice, choose)));
  for (const node of list.children) node.setAttribute("aria-checked", node.dataset.name === chosen);
}

function card({ name, label, kind }, choose) {
  const node = make("button", "", { type: "button", role: "radio", class: "choice", "data-name": name, "data-kind": kind });
  node.append(make("img", "", { src: `/pictures/${encodeURIComponent(name)}`, alt: "", loading: "lazy" }));
  const text = kind === "nobody" ? make("span", "没有人") : make("span", label);
  text.append(make("i", kind === "nobody" ? "nobody" : (kind === "phone" ? PHONE : PERSON).join(" · ")));
  node.append(text);
  node.addEventListener("click", () => { choose(name); node.blur(); });
  return node;
}

export function showFaults(faults, fault) {
  el("fault-rows").replaceChildren(...Object.entries(faults).map(([device, now]) => {
    const row = make("div", "", { class: "fault-row" });
    row.append(make("span", NAMES[device].join(" ")));
    for (const state of OFFERED[device]) {
      const button = make("button", STATES[state], { type: "button", "data-state": state, "data-device": device, "aria-pressed": state === now });
      button.addEventListener("click", () => fault(device, state));
      row.append(button);
    }
    return row;
  }));
  const broken = { unplugged: "摄像头已拔线 · unplugged", frozen: "画面卡死 · frozen" }[faults.camera] ?? "";
  el("view-fault").textContent = broken;
  el("view-fault").hidden = !broken;
}

export function showTill(url) {
  const frame = el("till");
  if (!url) return frame.replaceChildren(noTill());
  frame.replaceChildren(make("iframe", "", { src: url, title: "till", sandbox: "allow-scripts allow-forms allow-same-origin", referrerpolicy: "no-referrer" }));
}

function noTill() {
  const empty = make("div", "", { class: "no-till" });
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 48 48");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M9 30h30l3 10H6zM12 30l2-14h20l2 14M19 16V9h12v7M17 21h14M16.5 25.5h15M20 35h8");
  drawing.append(path);
  empty.append(drawing, make("b", "还没有收银台"), make("span", "No till is connected. Orders can come over MQTT all the same."));
  return empty;
}

export function drawLog({ at, line }) {
  const list = el("log");
  const following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const { event, level, ...rest } = line;
  const row = make("li", "", level ? { "data-level": level } : {});
  const when = new Date(at * 1000);
  row.append(make("time", `${when.toLocaleTimeString("sv")}.${String(when.getMilliseconds()).padStart(3, "0")}`));
  if (event !== undefined) row.append(make("b", event));
  for (const [key, value] of Object.entries(rest)) {
    row.append(make("span", `${key}=`, { class: "k" }), make("span", typeof value === "object" ? JSON.stringify(value) : value, { class: "v" }), " ");
  }
  list.append(row);
  while (list.children.length > MAX_ROWS) list.firstElementChild.remove();
  if (following) list.scrollTop = list.scrollHeight;
}

export function showReceipt({ text }) {
  el("receipt").textContent = text;
  el("receipt-panel").hidden = false;
}

export function showGate({ there, open }) {
  el("gate-panel").hidden = !there;
  el("gate").dataset.open = open;
  el("gate-word").textContent = open ? "请通行 · walk through" : "关闭 · shut";
}

export function toast(text) {
  const node = el("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.hidden = true; }, TOAST_MS);
}
