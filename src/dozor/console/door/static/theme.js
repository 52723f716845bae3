// Shows the theme that was chosen in the console before; Streamlit keeps it once per page path.
"use strict";
{
  let theme = "";
  try {
    const root = new URL("./", location.href).pathname;
    theme = JSON.parse(localStorage.getItem(`stActiveTheme-${root}-v2`)) || "";
  } catch {}
  if (theme === "Light" || theme === "Dark") {
    document.documentElement.dataset.theme = theme.toLowerCase();
  }
}
