'use strict';
// Costs at the reader's own prices, and the slider. Without this script the tables stand as they are.
(() => {
  const form = document.getElementById('prices');
  const sliders = [...document.querySelectorAll('.slider')];
  const value = (id) => Math.max(0, Number(document.getElementById(id).value) || 0);
  const undefinedText = '–';

  const number = (value, decimals) => {
    const text = Math.abs(value).toFixed(decimals);
    return 0 > value && Number(text) !== 0 ? '−' + text : text;
  };
  const percent = (value) => (Number.isFinite(value) ? number(value * 100, 1) + '\u00a0%' : undefinedText);
  const dollars = (value) => '$' + number(value, value >= 100 ? 0 : value >= 10 ? 2 : value >= 0.01 ? 3 : 5);

  // What 1,000 queries cost at either model.
  const costs = () => {
    if (document.getElementById('ratio')) return { small: value('ratio'), large: 100, format: (cost) => number(cost, 1) };
    const of = (model) =>
      (value('input-tokens') * value(model + '-input') + value('output-tokens') * value(model + '-output')) / 1000;
    return { small: of('small'), large: of('large'), format: dollars };
  };

  const price = () => {
    const { small, large, format } = costs();
    for (const row of document.querySelectorAll('tr[data-share]')) {
      const share = Number(row.dataset.share);
      const cost = share * small + (1 - share) * large;
      row.cells[3].textContent = format(cost);
      row.cells[4].textContent = percent(large > 0 ? 1 - cost / large : NaN);
    }
  };

  // Shows the row that is nearest to the slider's share, for every router.
  const slide = (slider) => {
    const input = slider.querySelector('input');
    const share = Number(input.value) / 100;
    slider.querySelector('output').textContent = input.value + '\u00a0%';
    input.setAttribute('aria-valuetext', input.value + ' % of queries at the small model');
    for (const shown of slider.querySelectorAll('tr[data-from]')) {
      const distance = (row) => Math.abs(Number(row.dataset.share) - share);
      const rows = [...document.getElementById(shown.dataset.from).tBodies[0].rows];
      const nearest = rows.reduce((best, row) => (distance(best) > distance(row) ? row : best));
      for (const row of rows) row.classList.toggle('chosen', row === nearest);
      for (const cell of [1, 2, 3, 4]) {
        shown.cells[cell].replaceChildren(...[...nearest.cells[cell].childNodes].map((node) => node.cloneNode(true)));
      }
    }
  };

  if (!form) return;
  form.hidden = false;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', () => {
    price();
    sliders.forEach(slide);
  });
  for (const slider of sliders) {
    slider.hidden = false;
    slider.addEventListener('input', () => slide(slider));
    slide(slider);
  }
})();
