// What lies between pictures, and what codes mean.

import { choice, el, field, number, picture, pictureField, seedField, several, shown, slider, table, workshop, gallery } from "./parts.js";

export const name = "Explore";

const TOOLS = [interpolation, swap, traverse, complete];

export const able = (model) => ["interpolate", "swap", "traverse", "complete"].some((one) => one in model.operations);

export const panel = (model) => el("div", {}, TOOLS.map((tool) => tool(model)));

const need = (chosen) => {
  if (!chosen.value) throw new Error("Choose a picture first.");
  return chosen.value;
};

// Show one part of a form, by what a choice says.
function switched(chooser, parts) {
  const arrange = () => Object.entries(parts).forEach(([key, part]) => part.forEach((one) => { one.hidden = key !== chooser.value; }));
  chooser.addEventListener("change", arrange);
  arrange();
}

function interpolation(model) {
  const offer = model.operations.interpolate;
  if (!offer) return null;
  const between = choice([...(offer.pictures ? [["images", "two pictures"]] : []), ...(offer.seeds ? [["seeds", "two seeds"]] : [])]);
  const ends = [pictureField("From"), pictureField("To")];
  const seeds = [seedField("From seed"), seedField("To seed")];
  seeds[1].element.querySelector("input").value = 1;
  const steps = number(15, 2, 64);
  const way = choice([["", "straight"], ["true", "along a sphere"]]);
  switched(between, { images: ends.map((end) => end.element), seeds: seeds.map((seed) => seed.element) });
  if (offer.pictures) {
    ends[0].offer(model.name, "a");
    ends[1].offer(model.name, "a").then(() => ends[1].element.querySelectorAll(".examples button")[1]?.click());
  }
  return workshop({
    title: "Between two",
    fields: [field("Between", between), ends.map((end) => end.element), seeds.map((seed) => seed.element),
      el("div", { class: "pair" }, field("Steps", steps), field("Way", way))],
    button: "Interpolate",
    hint: "A slider will lead from the one to the other.",
    async submit(ask) {
      const terms = between.value === "images" ? { images: ends.map(need) } : { seeds: seeds.map((seed) => seed.value) };
      const made = await ask(model.name, "interpolate", { ...terms, steps: steps.value, spherical: way.value });
      return stage(made.pictures.map((one) => one.image), "Place between the two");
    },
  });
}

// One of several pictures at a time, by a slider.
function stage(uris, title) {
  const image = picture(uris[0], "");
  const input = el("input", { type: "range", min: 0, max: uris.length - 1, value: 0, "aria-label": title });
  const show = () => {
    image.src = uris[input.value];
    image.alt = `picture ${Number(input.value) + 1} of ${uris.length}`;
  };
  input.addEventListener("input", show);
  show();
  return [el("div", { class: "stage" }, image, input), table([["", uris]])];
}

function swap(model) {
  const offer = model.operations.swap;
  if (!offer) return null;
  const start = pictureField("Picture");
  const label = choice([["", "as the model tells"], ...offer.classes.map((one) => [one, one])]);
  start.offer(model.name, "a");
  return workshop({
    title: "Another class, all else as it was",
    fields: [start.element, field("Its class", label)],
    button: "Swap classes",
    hint: "The picture in every class will stand here.",
    async submit(ask) {
      const made = await ask(model.name, "swap", { image: need(start), label: label.value });
      return gallery([shown(URL.createObjectURL(start.value), "original"),
        ...made.pictures.map((one) => shown(one.image, one.class, `${model.name}-${one.class}`))]);
    },
  });
}

function traverse(model) {
  const offer = model.operations.traverse;
  if (!offer) return null;
  const from = choice([["", "the middle of all"], ...(offer.seeds ? [["seed", "a seed"]] : []), ...(offer.pictures ? [["image", "a picture"]] : [])]);
  const start = pictureField("Picture");
  const seed = seedField();
  const dims = el("input", { type: "text", placeholder: "0 1 2 10-13" });
  const steps = number(8, 2, 64);
  switched(from, { seed: [seed.element], image: [start.element] });
  if (offer.pictures) start.offer(model.name, "a");
  return workshop({
    title: "What single dimensions do",
    intro: `Codes have ${several(offer.dims, "free dimension")}; a range is one choice of several.`,
    fields: [field("Start from", from), seed.element, start.element,
      el("div", { class: "pair" }, field("Dimensions", dims), field("Steps", steps))],
    button: "Traverse",
    hint: "A row for each dimension will stand here, its values growing to the right.",
    async submit(ask) {
      const begin = { "": {}, seed: { seed: seed.value }, image: { image: start.value } }[from.value];
      if (from.value === "image") need(start);
      const wanted = dims.value.split(/[\s,]+/).filter(Boolean);
      const made = await ask(model.name, "traverse", { ...begin, dims: wanted, steps: steps.value });
      const rows = new Map();
      for (const one of made.pictures) rows.set(one.dim, [...(rows.get(one.dim) ?? []), one.image]);
      return table([...rows].map(([dim, uris]) => [`dim ${dim}`, uris]));
    },
  });
}

function complete(model) {
  const offer = model.operations.complete;
  if (!offer) return null;
  const start = pictureField("Picture");
  const keep = choice(offer.keep.map((one) => [one, one]));
  const part = slider("How much of it", 0.5, 0.05, 0.95, 0.05);
  const draws = number(4, 1, 64);
  const seed = seedField();
  start.offer(model.name, "a");
  const chosen = offer.keep.length ? [field("Keep", keep), part.element] : [];
  return workshop({
    title: "Draw the rest anew",
    fields: [start.element, chosen, el("div", { class: "pair" }, field("Draws", draws), seed.element)],
    button: "Complete",
    hint: "The picture, and what else it could have been, will stand here.",
    async submit(ask) {
      const region = chosen.length ? { keep: keep.value, part: part.value } : {};
      const made = await ask(model.name, "complete", { image: need(start), draws: draws.value, seed: seed.value, ...region });
      return gallery([shown(URL.createObjectURL(start.value), "original"),
        ...made.pictures.map((one) => shown(one.image, `seed ${one.seed}`, `${model.name}-${one.seed}`))]);
    },
  });
}
