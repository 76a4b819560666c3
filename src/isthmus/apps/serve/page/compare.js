// Several models on the same input, side by side, with their figures.

import { choice, el, field, gallery, number, pictureField, seedField, shown, workshop } from "./parts.js";
import { titled } from "./translate.js";

export const name = "Compare";

export const able = () => true;

export const ALL = true;  // it is of all models at once

const TASKS = { translate: "Translate a picture", reconstruct: "Reconstruct a picture", generate: "Generate with one seed" };

export function panel(_, models) {
  const fitting = (task) => models.filter((model) => task in model.operations);
  const tasks = Object.keys(TASKS).filter((task) => fitting(task).length)
    .sort((one, other) => fitting(other).length - fitting(one).length);  // first what most of them can do
  if (!tasks.length) return el("p", { class: "empty" }, "No model here has anything to compare yet.");
  const task = choice(tasks.map((one) => [one, TASKS[one]]));
  const to = choice([]);
  const target = field("To", to);
  const picture = pictureField("Picture");
  const draws = number(4, 1, 64);
  const seed = seedField();
  const amount = el("div", { class: "pair" }, field("Pictures", draws), seed.element);
  const runs = el("fieldset");

  const chosen = () => models.filter((model) => runs.querySelector(`input[value="${CSS.escape(model.name)}"]`)?.checked);

  function arrange() {
    const fit = fitting(task.value);
    runs.replaceChildren(el("legend", {}, "Models"), ...fit.map((model) =>
      el("label", { class: "check" }, el("input", { type: "checkbox", value: model.name, checked: true }), `${model.name} (${model.model})`)));
    target.hidden = task.value !== "translate";
    picture.element.hidden = task.value === "generate";
    amount.hidden = task.value === "reconstruct";
    if (!target.hidden) {
      const found = new Map(fit.flatMap((model) => model.operations.translate.targets).map((one) => [one.to, titled(one)]));
      to.replaceChildren(...[...found].map(([value, title]) => el("option", { value }, title)));
      to.value = fit[0].operations.translate.default;
    }
    offer();
  }
  function offer() {
    if (picture.element.hidden) return;
    const [first] = fitting(task.value);
    const domain = first.operations.translate?.targets.find((one) => one.to === to.value)?.domain;
    picture.choose(null);
    picture.offer(first.name, target.hidden ? "a" : domain ?? "a");
  }
  task.addEventListener("change", arrange);
  to.addEventListener("change", offer);
  arrange();

  return workshop({
    fields: [field("Task", task), runs, target, picture.element, amount],
    button: "Compare",
    hint: "A column for each model will stand here.",
    async submit(ask) {
      if (!chosen().length) throw new Error("Choose at least one model.");
      if (!picture.element.hidden && !picture.value) throw new Error("Choose a picture first.");
      const image = picture.element.hidden ? {} : { image: picture.value };
      const fields = {
        translate: { ...image, to: to.value, draws: draws.value, seed: seed.value },
        reconstruct: image,
        generate: { draws: draws.value, seed: seed.value },
      }[task.value];
      const columns = await Promise.all(chosen().map(async (model) => {
        const made = await ask(model.name, task.value, fields).catch((error) => {
          if (error.name === "AbortError") throw error;
          return error;
        });
        return column(model, made);
      }));
      const original = image.image ? gallery([shown(URL.createObjectURL(image.image), "original")]) : null;
      return [original, el("div", { class: "columns" }, columns)].filter(Boolean);
    },
  });
}

function column(model, made) {
  const content = made instanceof Error ? el("p", { class: "said bad" }, made.message)
    : gallery(made.pictures.map((one) => shown(one.image, one.seed === undefined ? "result" : `seed ${one.seed}`, `${model.name}-${one.seed ?? "result"}`)));
  return el("article", { class: "column", "aria-label": model.name },
    el("h3", {}, model.name, " ", el("span", { class: "soft" }, model.model)), content, ...figures(model));
}

// What `isthmus evaluate` has measured, if it has.
function figures(model) {
  const groups = Object.entries(model.figures).filter(([, group]) => Object.keys(group).length);
  if (!groups.length) return [el("p", { class: "soft" }, "Not measured yet: isthmus evaluate does it.")];
  return groups.map(([title, group]) => el("table", {}, el("caption", {}, title.replaceAll("_", " ")), el("tbody", {},
    Object.entries(group).map(([one, value]) =>
      el("tr", {}, el("th", { scope: "row" }, one.replaceAll("_", " ")), el("td", {}, String(Number(value.toPrecision(4)))))))));
}
