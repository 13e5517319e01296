// The till: an amount as a string of digits (never a number), one order at a time, followed until it ends.
"use strict";

const byId = (id) => document.getElementById(id);
const token = decodeURIComponent(location.hash.slice(1));
const wantedBox = new URLSearchParams(location.search).get("box");
const SYMBOLS = { CNY: "¥" };
const DECIMALS = 2, WHOLE_DIGITS = 7;
const REASONS = {
  insufficient_funds: ["余额不足", "Not enough balance"], unknown_payer: ["没有这位付款人的账户", "No account for this payer"],
  order_expired: ["订单已过期", "The order had expired"], already_paid: ["已付过款", "Already paid"],
  acquirer_declined: ["银行拒绝", "The acquirer said no"], too_late: ["处理超时", "Took too long"],
  never_received: ["没有收到付款请求", "The request never came"], unreachable: ["支付渠道连不上", "The payment channel can't be reached"],
  unknown_channel: ["没有这个支付渠道", "No such payment channel"], credential_refused: ["付款码无效", "The payment code is not valid"],
};
const VERDICTS = {
  queued: ["正在发送", "Sending", "wait", "…"], sent: ["已发送，等待盒子", "Sent, waiting for the box", "wait", "…"],
  on_box: ["请顾客看着盒子", "The payer may look at the box", "wait", "◉"], paying: ["正在扣款", "Charging", "wait", "…"],
  approved: ["收款成功", "Approved", "good", "✓"], declined: ["付款被拒", "Declined", "bad", "✕"],
  expired: ["订单已过期", "Expired", "gone", "⏱"], cancelled: ["顾客已取消", "Cancelled", "gone", "–"],
  reversing: ["正在退回", "Being given back", "wait", "…"], reversed: ["已退回", "Reversed", "gone", "↩"],
  manual: ["退款未完成，需人工处理", "Not given back yet: a person must see to it", "doubt", "!"],
  refunding: ["正在退款", "Being refunded", "wait", "…"], refunded: ["已退款", "Refunded", "gone", "↩"],
  captured: ["已扣款，等待盒子确认", "Charged, waiting for the box's word", "wait", "…"],
  captured_unconfirmed: ["盒子没有确认，请勿交货，请看盒子", "The box has not confirmed: keep the goods, look at the box", "doubt", "!"],
};
const STEP_OF = { queued: 0, sent: 1, on_box: 2, paying: 3, captured_unconfirmed: 3, approved: 4, declined: 4, expired: 4, cancelled: 4, reversing: 3, reversed: 4, manual: 3, refunding: 4, refunded: 4 };

let digits = "", order = null, currency = "CNY", busy = false, boxes = [];

async function ask(method, path, body) {
  const response = await fetch(path, {
    method, cache: "no-store", headers: { Authorization: "Bearer " + token, ...(body && { "Content-Type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const said = await response.json();
  if (!response.ok) throw new Error(said.error ? said.error.message : response.statusText);
  return said;
}

function trouble(text) {
  byId("trouble").hidden = !text;
  byId("trouble").textContent = text || "";
}

function payable() { return /[1-9]/.test(digits); }

function showAmount() {
  byId("amount").textContent = order ? order.amount : digits || "0";
  const phase = byId("till").dataset.phase, button = byId("charge");
  if (phase === "idle") {
    button.disabled = busy || !payable() || !boxes.length;
    button.querySelector("b").textContent = "收款";
    button.querySelector("span").textContent = "Charge";
    byId("charge-amount").textContent = payable() ? (SYMBOLS[currency] || currency) + digits : "";
  } else {
    button.disabled = phase !== "ended";
    button.querySelector("b").textContent = phase === "ended" ? "下一单" : "等待付款";
    button.querySelector("span").textContent = phase === "ended" ? "Next sale" : "Waiting";
    byId("charge-amount").textContent = "";
  }
}

function press(key) {
  const phase = byId("till").dataset.phase;
  if (phase === "following") return;
  if (phase === "ended") reset();
  const [whole, fraction] = digits.split(".");
  if (key === "back") digits = digits.slice(0, -1);
  else if (key === ".") { if (!digits.includes(".")) digits = (digits || "0") + "."; }
  else if (fraction !== undefined) { if (fraction.length < DECIMALS) digits += key; }
  else if (whole === "0") digits = key;
  else if (whole.length < WHOLE_DIGITS) digits += key;
  trouble("");
  showAmount();
}

function reset() {
  digits = "";
  order = null;
  byId("title").value = "";
  byId("till").dataset.phase = "idle";
  showAmount();
}

async function charge() {
  if (byId("till").dataset.phase === "ended") return reset();
  if (busy || order || !payable()) return;
  busy = true;
  showAmount();
  try {
    const amount = digits.endsWith(".") ? digits.slice(0, -1) : digits;
    order = await ask("POST", "/v1/orders", { box: byId("box").value, amount, currency, title: byId("title").value.trim() || null });
    trouble("");
    byId("till").dataset.phase = "following";
    follow();
  } catch (error) {
    trouble("没有发出去 Not sent: " + error.message);
  } finally {
    busy = false;
    showAmount();
  }
}

function showOrder() {
  // Captured is not paid yet: the box may still give the money back. Only its word ends the sale.
  const stands = order.status === "paying" && order.reason === "waiting_for_box" ? "captured" : order.status;
  const [zh, en, kind, mark] = VERDICTS[stands] || [order.status, order.status, "wait", "…"];
  const reason = order.status === "declined" && order.reason ? REASONS[order.reason] || [order.reason, order.reason] : null;
  byId("verdict").className = "verdict " + kind;
  byId("mark").textContent = mark;
  byId("verdict-zh").textContent = reason ? zh + "：" + reason[0] : zh;
  byId("verdict-en").textContent = reason ? en + ": " + reason[1] : order.final && order.reference ? en + " · " + order.reference : en;
  const step = STEP_OF[order.status] ?? 0;
  [...byId("steps").children].forEach((item, index) => {
    item.classList.toggle("done", index < step);
    item.classList.toggle("now", index === step);
  });
  const left = order.expires_at - Date.now() / 1000, whole = Math.max(1, order.expires_at - order.created_at);
  byId("clock").style.width = Math.max(0, Math.min(100, (100 * left) / whole)) + "%";
}

async function follow() {
  const id = order.order_id;
  while (order && order.order_id === id) {
    showOrder();
    showAmount();
    // A declined order may still be paid by another attempt until it expires, so the till goes on looking.
    // Nor does a box that is gone keep the clerk from the next sale.
    const over = order.final || order.status === "declined" || order.status === "captured_unconfirmed";
    if (over) { byId("till").dataset.phase = "ended"; showAmount(); refresh(); }
    if (order.final) return;
    await new Promise((wake) => setTimeout(wake, over ? 1000 : 300));
    if (!order || order.order_id !== id) return;
    try {
      const fresh = await ask("GET", "/v1/orders/" + id);
      if (order && order.order_id === id) {
        if (order.status === "declined" && fresh.status !== "declined" && !fresh.final) byId("till").dataset.phase = "following";
        order = fresh;
      }
      trouble("");
    } catch (error) {
      trouble("网关没有回答，正在重试 The gateway does not answer, trying again");
    }
  }
}

async function refresh() {
  try {
    const facts = await ask("GET", "/v1/till");
    boxes = facts.boxes;
    currency = facts.currency;
    const select = byId("box"), chosen = select.value || wantedBox;
    if ([...select.options].map((o) => o.value + o.text).join() !== boxes.map((b) => b.id + b.name).join()) {
      select.replaceChildren(...boxes.map((b) => new Option(b.name, b.id)));
      const match = boxes.find((b) => b.id === chosen || b.name === chosen);
      if (match) select.value = match.id;
    }
    const box = boxes.find((b) => b.id === select.value);
    byId("dot").classList.toggle("on", Boolean(box && box.online));
    byId("dot").title = box && box.online ? "在线 online" : "离线 offline";
    byId("taken").textContent = box ? (SYMBOLS[currency] || currency + " ") + box.taken : "–";
    byId("symbol").textContent = SYMBOLS[currency] || currency;
    if (!boxes.length) trouble("还没有盒子 No box is registered yet: kingfisher-fleet box add");
    else if (!order) trouble("");
  } catch (error) {
    trouble(token ? "网关没有回答 The gateway does not answer: " + error.message : "请用 kingfisher-fleet till 打印的链接打开 Open the link that `kingfisher-fleet till` prints (it carries the till's key)");
  }
  showAmount();
}

byId("keys").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) press(button.dataset.key || button.textContent);
});
byId("charge").addEventListener("click", charge);
byId("box").addEventListener("change", refresh);
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^[0-9.]$/.test(event.key)) press(event.key);
  else if (event.key === "Backspace") press("back");
  else if (event.key === "Enter" && event.target.tagName !== "BUTTON") charge();
});
refresh();
setInterval(refresh, 2000);
