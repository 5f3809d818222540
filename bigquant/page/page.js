"use strict";
// Theme, slider and swatches.
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  const button = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const tell = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Show the page in ${isDark() ? "light" : "dark"} colors`);
    dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  dark.addEventListener("change", tell);
  button.hidden = false;
  tell();

  const split = byId("split");
  if (split) {
    const move = () => {
      byId("compare").style.setProperty("--split", `${split.value}%`);
      split.setAttribute("aria-valuetext", `${Math.round(split.value)} % original`);
    };
    const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2 };
    split.addEventListener("keydown", (event) => {
      if (event.key in steps && !event.altKey && !event.ctrlKey && !event.metaKey) {
        event.preventDefault(); // a tenth of a percent, its own step, is for the mouse
        split.value = Number(split.value) + steps[event.key];
        move();
      }
    });
    split.addEventListener("input", move);
    move(); // where a reload has left it
  }

  const copied = byId("copied");
  let timer = 0;
  const copy = async (hex) => {
    let words = `Copied ${hex}`;
    try {
      await navigator.clipboard.writeText(hex);
    } catch {
      words = hex; // browsers may forbid it: then it is there to be read
    }
    copied.textContent = words;
    copied.classList.add("shown");
    clearTimeout(timer);
    timer = setTimeout(() => copied.classList.remove("shown"), 1800);
  };
  for (const swatch of document.querySelectorAll("[data-hex]")) {
    swatch.addEventListener("click", () => copy(swatch.dataset.hex));
  }
})();
