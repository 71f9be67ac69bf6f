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

