//! The pages in a real browser: with the keyboard alone, on a telephone and on a desk, by day and by night.

use super::Scene;
use super::manners::PAGES;
use crate::support::chromium::{Chromium, ENTER, SPACE, TAB};
use crate::support::records::{all_of, event, property, workflow};
use crate::support::{DEADLINE, Database, wait_until};
use serde_json::{Value, json};

/// More stops than any page here has.
const STOPS: usize = 60;

/// What is wrong with how a page looks: wider than its window, or text that is hard to tell from its ground. The ratio of
/// luminances is that of WCAG 2: 4.5 for text, 3 for large one; what is switched off may be fainter.
const LOOKS: &str = r#"
    const wrong = [];
    const root = document.documentElement;
    if (root.scrollWidth > window.innerWidth) wrong.push(`${root.scrollWidth} wide in ${window.innerWidth}`);
    const parts = color => {
        const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
        return {rgb: [r, g, b], a};
    };
    const luminance = ({rgb}) => rgb
        .map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = element => {
        for (let it = element; it; it = it.parentElement) {
            const color = parts(getComputedStyle(it).backgroundColor);
            if (color.a === 1) return color;
            if (color.a > 0) wrong.push(`a ground one can see through under ${element.outerHTML.slice(0, 80)}`);
        }
        return parts(getComputedStyle(root).colorScheme.includes('dark') ? 'rgb(0, 0, 0)' : 'rgb(255, 255, 255)');
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || !element.checkVisibility() || element.closest('svg, option, :disabled')) continue;
        const style = getComputedStyle(element);
        const [a, b] = [luminance(parts(style.color)), luminance(ground(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const needed = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
        if (ratio < needed) wrong.push(`${ratio.toFixed(2)} for "${node.data.trim().slice(0, 40)}"`);
    }
    return wrong;
"#;

/// What the stop that has the focus is called, and whether one sees that it has it. Between the last and the first the page
/// as a whole has it.
const FOCUS: &str = r"
    const it = document.activeElement;
    if (it === document.body) return ['', true];
    const label = it.labels?.length ? it.labels[0].innerText : it.getAttribute('aria-label') ?? it.innerText;
    const style = getComputedStyle(it);
    return [label.trim(), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
";

async fn scene() -> Scene {
    let ada = property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"));
    let scene = Scene::new(Database::sqlite(), &[workflow(1, 6, &all_of(&[ada]))]).await;
    scene.reaper.decide(&[1, 2].map(|id| event(1, 6, id, id))).await;
    scene
}

fn url(scene: &Scene, page: &str) -> String {
    format!("http://{}{page}", scene.worker.address().expect("it listens"))
}

/// Goes from stop to stop until one is called so; each must show that it is where the keys go.
async fn tab_to(chromium: &Chromium, name: &str) {
    let mut stops = Vec::new();
    for _ in 0..STOPS {
        chromium.press(TAB).await;
        let at = chromium.run(FOCUS).await;
        assert_eq!(at[1], Value::Bool(true), "nothing shows that the focus is on {}", at[0]);
        let at = at[0].as_str().expect("a name").to_owned();
        if at == name {
            return;
        }
        stops.push(at);
    }
    panic!("no stop is called {name}: {stops:?}");
}

async fn wait_for(chromium: &Chromium, words: &str) {
    let what = format!("the page says {words}");
    wait_until(&what, DEADLINE, async || chromium.text().await.contains(words)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_comes_back_by_the_keyboard_alone() {
    let scene = scene().await;
    let chromium = Chromium::start().await;
    chromium.open(&url(&scene, "/trash")).await;
    // The field for the token has the focus.
    chromium.press(&scene.token("1").await).await;
    chromium.press(ENTER).await;
    wait_for(&chromium, "In the trash").await;

    tab_to(&chromium, "Trash").await;
    chromium.press(ENTER).await;
    wait_for(&chromium, "Undo a run").await;
    tab_to(&chromium, "Contact").await;
    chromium.press("ada no 2").await;
    chromium.press(ENTER).await;
    wait_until("only she is shown", DEADLINE, async || !chromium.text().await.contains("Ada No 1")).await;
    tab_to(&chromium, "Restore contact 2").await;
    chromium.press(SPACE).await;
    tab_to(&chromium, "Preview the restore").await;
    chromium.press(ENTER).await;
    wait_for(&chromium, "1 would come back").await;
    assert_eq!(scene.reaper.state(1, 2).await, "in_trash");
    tab_to(&chromium, "Restore 1").await;
    chromium.press(ENTER).await;
    wait_for(&chromium, "1 restored, 0 refused").await;
    assert_eq!(
        (scene.reaper.state(1, 1).await, scene.reaper.state(1, 2).await),
        ("in_trash".into(), "live".into())
    );

    tab_to(&chromium, "Overview").await;
    chromium.press(ENTER).await;
    wait_for(&chromium, "Restored, or gone for good").await;
    let drawn = chromium.run("return document.querySelectorAll('rect.restored').length").await;
    assert_eq!(drawn, 1, "the bar of this hour");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_and_can_be_read() {
    let scene = scene().await;
    let guarded = scene.reaper.clone().setting("guard.workflow.max_deletions", "1");
    guarded.decide(&[3, 4].map(|id| event(1, 6, id, id))).await;
    scene.reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "9", "--confirm", "1"]).await;
    let chromium = Chromium::start().await;
    chromium.open(&url(&scene, "/login")).await;
    chromium.press(&scene.token("1").await).await;
    chromium.press(ENTER).await;
    wait_for(&chromium, "In the trash").await;
    for page in PAGES {
        chromium.open(&url(&scene, page)).await;
        for width in [320, 390, 1280] {
            for is_dark in [false, true] {
                chromium.show_on(width, is_dark).await;
                let wrong = chromium.run(LOOKS).await;
                assert_eq!(wrong, json!([]), "{page}, {width} wide, dark: {is_dark}");
            }
        }
    }
    let spoil = "document.body.style.cssText = 'width: 2000px; color: #888; background: #999'";
    chromium.run(spoil).await;
    let wrong = chromium.run(LOOKS).await;
    assert!(wrong.as_array().is_some_and(|all| all.len() > 1), "a spoiled page is complained about: {wrong}");
}
