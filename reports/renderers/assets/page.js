// Theme, and what the other parts share. Text is only ever moved, never parsed as HTML.
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  let recolour = () => {};

  // --- theme ---------------------------------------------------------------------------------
  const themes = ["auto", "light", "dark"];
  const themeButton = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("steelyard-theme"); } catch { return null; } };
  const setTheme = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    themeButton.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("steelyard-theme", theme); } catch { /* a page from disk may have no storage */ }
  };
  let theme = themes.includes(stored()) ? stored() : "auto";
  setTheme(theme);
  themeButton.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
    recolour();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recolour());

  // --- paper ---------------------------------------------------------------------------------
  // Nobody can unfold a printed page: the rules stand open, and a chart not drawn yet is in words.
  const unfolded = new Set();
  addEventListener("beforeprint", () => {
    const words = all(".plot:empty").map((plot) => plot.parentElement.querySelector(".alternative"));
    for (const fold of [...all("#gate > details"), ...words])
      if (fold && !fold.open) { fold.open = true; unfolded.add(fold); }
  });
  addEventListener("afterprint", () => { unfolded.forEach((fold) => { fold.open = false; }); unfolded.clear(); });

