// Curves over steps, as SVG.

import { el } from "./parts.js";

const [HEIGHT, LEFT, RIGHT, BOTTOM, TOP] = [300, 56, 12, 26, 10];
const COLOURS = 8;
const HELD = "validation/";
const SPEED = "steps_per_second";

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const brief = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(4))));

// Draw the losses in rows of { step, name: value } into an element; `before` is what the last call returned.
export function chart(element, rows, before) {
  const names = [...new Set(rows.flatMap(Object.keys))].filter((name) => name !== "step" && name !== SPEED).sort();
  const plain = [...new Set(names.map((name) => name.replace(HELD, "")))];
  const colour = (name) => `var(--c${plain.indexOf(name.replace(HELD, "")) % COLOURS})`;
  const hidden = before?.hidden ?? new Set();
  const log = before?.log ?? el("input", { type: "checkbox" });
  const place = el("p", { class: "soft", "aria-hidden": true }, " ");
  const lines = names.map((name) => [name, rows.filter((row) => Number.isFinite(row[name])).map((row) => [row.step, row[name]])]);
  const field = el("div");
  const draw = () => field.replaceChildren(
    drawn(lines.filter(([name]) => !hidden.has(name)), colour, log.checked, place, Math.max(240, field.clientWidth)));
  const toggle = (name, button) => {
    hidden.has(name) ? hidden.delete(name) : hidden.add(name);
    button.setAttribute("aria-pressed", !hidden.has(name));
    draw();
  };
  const legend = el("ul", { class: "legend" }, lines.map(([name, points]) => {
    const line = el("i");
    line.style.color = colour(name);
    line.classList.toggle("held", name.startsWith(HELD));
    const button = el("button", { type: "button", "aria-pressed": !hidden.has(name), onclick: () => toggle(name, button) },
      line, `${name.replace(HELD, "held out: ")} ${points.length ? brief(points.at(-1)[1]) : ""}`);
    return el("li", {}, button);
  }));
  log.onchange = draw;
  element.replaceChildren(el("div", { class: "row" }, el("h2", {}, "Losses"), el("label", { class: "check" }, log, "logarithmic")), field, place, legend);
  before?.watcher.disconnect();
  const watcher = new ResizeObserver(draw);
  watcher.observe(field);
  return { hidden, log, watcher };
}

function drawn(lines, colour, logarithmic, place, width) {
  const scale = logarithmic ? Math.log10 : (value) => value;
  const usable = lines.map(([name, points]) => [name, points.filter(([, y]) => !logarithmic || y > 0)]);
  const all = usable.flatMap(([, points]) => points);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": `losses: ${lines.map(([name]) => name).join(", ")}` });
  if (!all.length) return picture;
  const [x0, x1] = ends(all.map(([x]) => x));
  const [y0, y1] = ends(all.map(([, y]) => scale(y)));
  const x = (value) => LEFT + ((value - x0) / (x1 - x0)) * (width - LEFT - RIGHT);
  const high = (scaled) => HEIGHT - BOTTOM - ((scaled - y0) / (y1 - y0)) * (HEIGHT - BOTTOM - TOP);
  const y = (value) => high(scale(value));
  for (const tick of ticks(y0, y1, 5)) {
    picture.append(svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: high(tick), y2: high(tick) }),
      svg("text", { x: LEFT - 8, y: high(tick) + 4, "text-anchor": "end" }, brief(logarithmic ? 10 ** tick : tick)));
  }
  for (const tick of ticks(x0, x1, width / 110)) {
    picture.append(svg("text", { x: x(tick), y: HEIGHT - 6, "text-anchor": x(tick) > width - 40 ? "end" : "middle" }, tick.toLocaleString("en")));
  }
  for (const [name, points] of usable) {
    const places = points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`);
    const line = svg("polyline", { points: places.length === 1 ? [...places, ...places].join(" ") : places.join(" ") });
    line.classList.toggle("dot", places.length === 1);
    line.style.stroke = colour(name);
    line.classList.toggle("held", name.startsWith(HELD));
    picture.append(line);
  }
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const step = x0 + ((((event.clientX - box.left) / box.width) * width - LEFT) / (width - LEFT - RIGHT)) * (x1 - x0);
    place.textContent = said(usable, step);
  });
  picture.addEventListener("pointerleave", () => { place.textContent = " "; });
  return picture;
}

// The values nearest to a step.
function said(lines, step) {
  const near = lines.filter(([, points]) => points.length)
    .map(([name, points]) => [name, points.reduce((best, point) => (Math.abs(point[0] - step) < Math.abs(best[0] - step) ? point : best))]);
  return near.length ? `step ${near[0][1][0].toLocaleString("en")}: ${near.map(([name, [, value]]) => `${name} ${brief(value)}`).join(", ")}` : " ";
}

function ends(values) {
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

// Round places between two ends, about so many.
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}
