// Carry a picture to another domain.

import { choice, el, field, gallery, number, pictureField, seedField, shown, several, workshop } from "./parts.js";

export const name = "Translate";

export const able = (model) => "translate" in model.operations;

// What a target is called.
export const titled = ({ to, into }) => (into && into !== to ? `${to}: ${into}` : to);

export function panel(model) {
  const { targets, style, default: usual } = model.operations.translate;
  const to = choice(targets.map((target) => [target.to, titled(target)]));
  to.value = usual;
  const draws = number(4, 1, 64);
  const drawn = field("Draws", draws);
  const seed = seedField();
  const sound = Object.values(model.domains).some((domain) => domain.rate);
  const picture = pictureField(sound ? "Sound" : "Picture", { sound });
  const example = style ? pictureField("Style (optional)", { optional: true }) : null;
  const target = () => targets.find((one) => one.to === to.value);

  function offer() {
    picture.choose(null);
    picture.offer(model.name, target().domain);
    example?.offer(model.name, targets.find((one) => one.domain !== target().domain)?.domain ?? "a");
    arrange();
  }
  function arrange() {  // a model without chance, or a style that is given, has one result
    drawn.hidden = seed.element.hidden = !target().random || Boolean(example?.value);
  }
  to.addEventListener("change", offer);
  example?.element.addEventListener("change", arrange);
  offer();

  return workshop({
    fields: [field("To", to), picture.element, example?.element, el("div", { class: "pair" }, drawn, seed.element)],
    button: "Translate",
    hint: "The original and what becomes of it will stand here, side by side.",
    async submit(ask) {
      if (!picture.value) throw new Error("Choose a picture first.");
      const count = drawn.hidden ? 1 : draws.value;
      const original = picture.value;
      const fields = { image: original, to: to.value, draws: count, seed: seed.value, style: example?.value };
      const made = await ask(model.name, "translate", fields);
      const results = made.pictures.map((one, i) => shown(one.image, count > 1 ? `draw ${i + 1}` : titled(target()), `${made.to}-${one.seed}`));
      return [el("h2", {}, `${several(results.length, "result")} in ${titled(target())}`),
        gallery([sound ? el("p", {}, "the original") : shown(URL.createObjectURL(original), "original"), ...results], "large")];
    },
  });
}
