"use strict";
// gradio shows an uploaded photo without a text for screen readers: it gets that of its label.
new MutationObserver(() => {
  document.querySelectorAll("[data-testid='image'] img").forEach((image) => {
    if (image.alt) { return; }
    const label = image.closest(".block")?.querySelector("[data-testid='block-label']");
    image.alt = (label?.innerText ?? "").trim() || "photo";
  });
}).observe(document.documentElement, { childList: true, subtree: true });
