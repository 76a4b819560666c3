// Draw new pictures.

import { choice, el, field, gallery, number, seedField, several, shown, slider, workshop } from "./parts.js";

export const name = "Generate";

export const able = (model) => "generate" in model.operations;

export function panel(model) {
  const { classes } = model.operations.generate;
  const draws = number(16, 1, 64);
  const kind = choice([["", "any"], ...(classes.length <= 64 ? [["*", "each in turn"]] : []), ...classes.map((one) => [one, one])]);
  const seed = seedField();
  const temperature = slider("Temperature", 1, 0, 1.5, 0.05);

  return workshop({
    fields: [
      field("Pictures", draws),
      classes.length ? field("Class", kind) : null,
      seed.element,
      temperature.element,
      el("p", { class: "soft" }, "1 is what the model learnt; less is more typical and less varied."),
    ],
    button: "Generate",
    hint: "New pictures will hang here, each with its seed.",
    async submit(ask) {
      const wanted = kind.value === "*" ? classes : kind.value;
      const made = await ask(model.name, "generate", {
        draws: draws.value, classes: wanted, temperature: temperature.value, seed: seed.value,
      });
      const caption = (one) => (one.class === undefined ? `seed ${one.seed}` : `${one.class}, seed ${one.seed}`);
      return [el("h2", {}, several(made.pictures.length, "picture")),
        gallery(made.pictures.map((one) => shown(one.image, caption(one), `${model.name}-${one.seed}`)))];
    },
  });
}
