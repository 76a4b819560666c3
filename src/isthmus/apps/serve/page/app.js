// The page: models above, tabs below, and a panel for each tab of each model, made when it is first seen.

import { models as load } from "./api.js";
import * as compare from "./compare.js";
import * as explore from "./explore.js";
import * as generate from "./generate.js";
import { el } from "./parts.js";
import * as training from "./training.js";
import * as translate from "./translate.js";

const TABS = [translate, generate, explore, compare, training];
const chooser = document.querySelector("#model");
const list = document.querySelector("[role=tablist]");
const main = document.querySelector("main");
const notice = document.querySelector("#notice");
const panels = new Map();
let models = [];
let current = translate;

const model = () => models.find((one) => one.name === chooser.value);

function show(tab = current) {
  current = tab;
  for (const button of list.children) {
    const chosen = button.textContent === tab.name;
    button.setAttribute("aria-selected", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  const key = tab.ALL ? tab.name : `${tab.name} ${chooser.value}`;
  if (!panels.has(key)) {
    const content = tab.able(model()) ? tab.panel(model(), models) : unable(tab);
    panels.set(key, el("div", { role: "tabpanel", "aria-label": tab.name, tabindex: -1 }, content));
    main.append(panels.get(key));
  }
  for (const [other, panel] of panels) panel.hidden = other !== key;
  chooser.closest("label").hidden = Boolean(tab.ALL);
}

// What to do where a model cannot do what the tab is for.
function unable(tab) {
  const others = models.filter((one) => tab.able(one)).map((one) =>
    el("button", { type: "button", onclick: () => { chooser.value = one.name; show(); } }, one.name));
  const why = model().ready ? `${model().name} (${model().model}) has nothing for this tab.` : `${model().name} has no weights yet: look at its training.`;
  return el("div", { class: "card empty" }, el("p", {}, why), others.length ? el("div", { class: "actions" }, "These models have: ", others) : null);
}

function tabs() {
  list.replaceChildren(...TABS.map((tab) => el("button", { type: "button", role: "tab", onclick: () => show(tab) }, tab.name)));
  list.addEventListener("keydown", (event) => {
    const to = { ArrowRight: 1, ArrowLeft: -1, Home: -TABS.length, End: TABS.length }[event.key];
    if (!to) return;
    event.preventDefault();
    const place = Math.abs(to) > 1 ? (to > 0 ? TABS.length - 1 : 0) : (TABS.indexOf(current) + to + TABS.length) % TABS.length;
    show(TABS[place]);
    list.children[place].focus();
  });
}

try {
  models = await load();
  chooser.replaceChildren(...models.map((one) => el("option", { value: one.name }, `${one.name} (${one.model})`)));
  chooser.addEventListener("change", () => show());
  tabs();
  show(TABS.find((tab) => tab.able(model())));
} catch (error) {
  notice.textContent = error.message;
  notice.hidden = false;
}
