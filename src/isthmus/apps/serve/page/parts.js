// What the tabs are made of.

import { ask, blobOf, examples } from "./api.js";

// An element with its properties and children: el("p", { class: "soft" }, "text").
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

let fields = 0;

// A control with its label, and perhaps what is shown beside that.
export function field(title, input, beside = null) {
  input.id = `field-${fields++}`;
  return el("div", { class: "field" }, el("div", {}, el("label", { for: input.id }, title), beside), input);
}

export const number = (value, min, max, step = 1) =>
  el("input", { type: "number", value, min, max, step, required: true });

export const choice = (options) =>
  el("select", {}, options.map(([value, title]) => el("option", { value }, title)));

export const several = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// A seed, and a button that draws another.
export function seedField(title = "Seed") {
  const input = number(0, 0, 2 ** 32 - 1);
  const draw = () => {
    input.value = Math.floor(Math.random() * 1e6);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const other = el("button", { type: "button", onclick: draw, title: "Another seed", "aria-label": "Another seed" }, "↻");
  return { element: el("div", { class: "row" }, field(title, input), other), get value() { return input.value; } };
}

// A slider with its value beside its title.
export function slider(title, value, min, max, step) {
  const input = el("input", { type: "range", value, min, max, step });
  const shown = el("output", { class: "soft" }, Number(value).toFixed(2));
  input.addEventListener("input", () => { shown.textContent = Number(input.value).toFixed(2); });
  return { element: field(title, input, [" ", shown]), get value() { return input.value; } };
}

// A picture to start from: a file that is chosen, dropped or pasted, or a test image of the domain.
export function pictureField(title, { sound = false, optional = false } = {}) {
  let chosen = null;
  const kind = sound ? "sound" : "picture";
  const accept = sound ? "audio/wav,.wav" : "image/png,image/jpeg,image/webp";
  const input = el("input", { type: "file", accept, "aria-label": `${title}: choose a ${kind}` });
  const preview = el("span");
  const clear = el("button", { type: "button", hidden: true, onclick: () => choose(null) }, `Without ${kind}`);
  const drop = el("label", { class: "drop" }, input, preview);
  const shelf = el("div", { class: "examples", role: "group", "aria-label": `${title}: samples` });
  const element = el("fieldset", { class: "picture" }, el("legend", {}, title), drop, optional ? clear : null, shelf);

  function choose(blob, button = null) {
    chosen = blob;
    for (const other of shelf.children) other.setAttribute("aria-pressed", other === button);
    preview.replaceChildren(
      blob && !sound ? picture(URL.createObjectURL(blob), `chosen ${kind}`) : el("span", { class: "soft" }, said(blob)),
    );
    clear.hidden = !blob;
    if (!button) input.value = "";
    element.dispatchEvent(new Event("change", { bubbles: true }));
  }
  const said = (blob) => (blob ? blob.name ?? `a ${kind}` : `Drop a ${kind} here, or choose one`);

  input.addEventListener("change", () => input.files[0] && choose(input.files[0]));
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
    });
  }
  element.addEventListener("paste", (event) => event.clipboardData.files[0] && choose(event.clipboardData.files[0]));
  choose(null);

  return {
    element,
    get value() { return chosen; },
    choose,
    // Offer test images, and take the first one unless a picture is optional.
    async offer(model, domain) {
      const found = await examples(model, domain).catch(() => []);
      const buttons = found.map((uri, i) =>
        el("button", { type: "button", "aria-pressed": false, "aria-label": `sample ${i + 1}`,
          onclick: (event) => choose(blobOf(uri), event.currentTarget) }, picture(uri, "")));
      shelf.replaceChildren(...buttons);
      if (buttons.length && !chosen && !optional) buttons[0].click();
    },
  };
}

// An image whose pixels stay sharp where there are few, or where it is enlarged.
export function picture(src, alt) {
  const image = el("img", { src, alt });
  image.addEventListener("load", () => {
    const few = Math.min(image.naturalWidth, image.naturalHeight) < 100;
    image.classList.toggle("small", few || image.naturalWidth < image.clientWidth);
  });
  return image;
}

// A picture or a sound with its caption, and a link to save it.
export function shown(uri, caption, file) {
  const sound = uri.startsWith("data:audio");
  const content = sound ? el("audio", { src: uri, controls: true, "aria-label": caption }) : picture(uri, caption);
  const save = file ? el("a", { href: uri, download: `${file}.${sound ? "wav" : "png"}`, "aria-label": `Save ${caption}` }, "Save") : null;
  return el("figure", {}, content, el("figcaption", {}, el("span", {}, caption), save));
}

export const gallery = (figures, kind = "") =>
  el("ul", { class: `gallery ${kind}` }, figures.map((figure) => el("li", {}, figure)));

// A form on the left and what comes of it on the right. `submit` gets an asker, which shows progress and may be
// cancelled, and returns what to show.
export function workshop({ title, intro, fields, button, submit, hint }) {
  let running = null;
  const go = el("button", { class: "main" }, button);
  const cancel = el("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Cancel");
  const bar = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "progress" });
  const said = el("p", { class: "said soft", role: "status" });
  const result = el("section", { class: "card result", "aria-label": "Result" }, el("p", { class: "empty" }, hint));
  const form = el("form", { class: "card", onsubmit: run },
    title ? el("h2", {}, title) : null, intro ? el("p", { class: "soft" }, intro) : null,
    fields, el("div", { class: "actions" }, go, cancel), bar, said);

  function busy(now) {
    go.disabled = now;
    cancel.hidden = bar.hidden = !now;
    result.setAttribute("aria-busy", now);
    if (now) bar.value = 0;
  }
  function tell(text, bad = false) {
    said.textContent = text;
    said.classList.toggle("bad", bad);
  }
  async function run(event) {
    event?.preventDefault();
    running = new AbortController();
    busy(true);
    tell("At work …");
    const began = performance.now();
    const options = { signal: running.signal, progress: (share) => { bar.value = share; } };
    try {
      result.replaceChildren(...[await submit((...what) => ask(...what, options))].flat());
      result.scrollIntoView({ block: "nearest" });
      tell(`Done in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    } catch (error) {
      tell(error.name === "AbortError" ? "Cancelled" : error.message, error.name !== "AbortError");
    } finally {
      busy(false);
    }
  }
  return el("div", { class: "split" }, form, result);
}

// Pictures in rows with names, and columns with names.
export function table(rows, heads) {
  const columns = Math.max(...rows.map(([, uris]) => uris.length));
  const grid = el("div", { class: "grid" });
  grid.style.gridTemplateColumns = `auto repeat(${columns}, auto)`;
  if (heads) grid.append(el("span"), ...heads.map((head) => el("span", { class: "head" }, head)));
  for (const [name, uris] of rows) {
    grid.append(el("span", {}, name), ...uris.map((uri, i) => picture(uri, heads ? `${name} ${heads[i]}` : `${name}, ${i + 1}`)));
    for (let i = uris.length; i < columns; i += 1) grid.append(el("span"));
  }
  return el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "grid of pictures" }, grid);
}
