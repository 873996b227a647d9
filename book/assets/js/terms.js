/* Terms of the glossary: what one means is shown beside it, to who points at it, comes to it
   by keyboard, or touches it. Without this script a term is a link whose title says the same. */
(function () {
  "use strict";
  const tip = document.createElement("div");
  let owner = null;
  let leaving = 0;

  function hide() {
    if (!owner) return;
    owner.removeAttribute("aria-describedby");
    owner = null;
    tip.hidden = true;
  }

  function show(term) {
    clearTimeout(leaving);
    if (owner === term) return;
    hide();
    owner = term;
    tip.textContent = term.dataset.meaning;
    tip.hidden = false;
    term.setAttribute("aria-describedby", tip.id);
    // Below the word, or above it where there is no room; never out of the window.
    const room = document.documentElement.clientWidth;
    const { left, top, bottom } = term.getClientRects()[0];
    const above = bottom + tip.offsetHeight + 8 > window.innerHeight && top > tip.offsetHeight + 8;
    tip.style.left = `${Math.max(8, Math.min(left, room - tip.offsetWidth - 8)) + window.scrollX}px`;
    tip.style.top = `${(above ? top - tip.offsetHeight - 4 : bottom + 4) + window.scrollY}px`;
  }

  /* The way from the word to its meaning may be crossed. */
  function leave() {
    leaving = setTimeout(hide, 250);
  }

  const terms = document.querySelectorAll("a.term");
  if (!terms.length) return;
  tip.id = "term-meaning";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  tip.addEventListener("pointerenter", () => clearTimeout(leaving));
  tip.addEventListener("pointerleave", leave);
  terms.forEach((term) => {
    let touched = false;
    term.dataset.meaning = term.title;
    term.removeAttribute("title");
    term.addEventListener("pointerdown", (event) => {
      touched = event.pointerType !== "mouse" && owner !== term;   // the second touch follows the link
    });
    term.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") show(term);
    });
    term.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && document.activeElement !== term) leave();
    });
    term.addEventListener("focus", () => show(term));
    term.addEventListener("blur", hide);
    term.addEventListener("click", (event) => {
      if (!touched) return;
      touched = false;
      event.preventDefault();
      show(term);
    });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("pointerdown", (event) => {
    if (owner && event.target !== owner && !tip.contains(event.target)) hide();
  });
}());
