  // --- flips ---------------------------------------------------------------------------------
  const PAGE = 10;
  all(".flips").forEach((block) => {
    const articles = all("article", block);
    const texts = articles.map((article) => article.textContent.toLowerCase());
    const selects = all("select", block);
    const search = block.querySelector(".search");
    const more = block.querySelector(".more");
    const count = block.querySelector(".count");
    let pages = 1;
    for (const select of selects.slice(1)) {
      options(select, articles.map((article) => article.dataset[select.dataset.name]));
    }
    const apply = () => {
      const words = search.value.toLowerCase();
      let found = 0;
      articles.forEach((article, i) => {
        const match = selects.every((s) => !s.value || article.dataset[s.dataset.name] === s.value)
          && texts[i].includes(words);
        found += match;
        article.hidden = !match || found > pages * PAGE;
      });
      more.hidden = found <= pages * PAGE;
      count.textContent = `${Math.min(found, pages * PAGE)} of ${found} shown`;
    };
    const restart = () => { pages = 1; apply(); };
    selects.forEach((select) => select.addEventListener("change", restart));
    search.addEventListener("input", restart);
    more.addEventListener("click", () => { pages += 1; apply(); });
    apply();
  });

